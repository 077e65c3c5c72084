/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test.c - a provider that tests script through files in a directory (option `dir`). It is in no
 * installed program: only hush_providers_test has it.
 *
 *     dir/NAME           the secret NAME; its content is the value. NAME may have folders.
 *     dir/NAME.value     the secret NAME, if NAME is a folder, too
 *     dir/NAME.version   its version (the first line); without it, a hash of the content
 *     dir/NAME.versions/V    what NAME#V is, for a V that is not the current one
 *     dir/NAME.fields    exists: the value is a JSON object, given as a map too
 *     dir/NAME.ttl       the backend's own: milliseconds
 *     dir/NAME.not_after the backend stops honouring the value that many seconds from now
 *     dir/NAME.delay     wait that many milliseconds first
 *     dir/NAME.hang      wait while this exists (or until cancel or deadline)
 *     dir/NAME.deaf      exists: such waits ignore cancel and deadline, for at most 60 s
 *     dir/NAME.error     then fail with this status (UNAVAILABLE, DENIED, …)
 *     dir/NAME.retry     … and say that it may be asked again after so many milliseconds
 *     dir/NAME.dynamic   exists: each fetch makes another credential, the content and a number
 *     dir/NAME.lease     … with the lease NAME@NUMBER for NAME.ttl; "renewable" in it: it can be
 *                        renewed
 *     dir/NAME.renew.ttl what a renewal gives, in milliseconds; without it NAME.ttl
 *     dir/NAME.renew.error, NAME.revoke.error, …    as NAME.error, for renew and revoke
 *     dir/.login         exists: revoke() is called for a login, too (.revoke.error, …)
 *     dir/.once          exists: says that each fetch makes a new credential
 *     dir/.open.error    open() fails with this status, .open.delay, … as above; each such call is
 * written to .calls as "open "
 *     dir/.upkeep.error  watch() tells this status of the instance, as long as it is there
 *     dir/.stash         exists: open() takes what the stash has as "login", or puts that
 *     dir/.watch         exists: it can watch; "partial" in it: not every change is reported
 *     dir/.changed       written anew: watch() reports its first line ("*": everything)
 *     dir/.watchlog      exists: .calls also has "watch ", and "changed NAME" once it is reported
 *     dir/.list.delay, .list.hang, .list.deaf, .list.error     as NAME.delay, …, for listings
 *     dir/.listed.hang   exists: .calls also has "listed PREFIX" once a listing has read all
 *                        names; it waits then
 *     dir/.unlisted      exists: listings are UNSUPPORTED
 *     dir/.calls         each call appends a line: "fetch NAME", "fetch NAME#V", "list PREFIX",
 *                        "renew LEASE", "revoke LEASE" (of a login: "revoke "), "login NUMBER"
 *                        or "resume NUMBER"
 *
 * It reads dir and appends to .calls (which the test makes, if the provider runs as another user).
 */
#include "script.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "shared/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct hush_option test_options[] = {
    HUSH_OPTION(struct test_provider, dir, PATH, NULL, "the directory that scripts the provider"),
    {0},
};

static const char *const test_suffixes[] = {
    ".value", ".version", ".versions", ".fields", ".ttl",     ".not_after", ".delay",
    ".hang",  ".deaf",    ".error",    ".retry",  ".dynamic", ".lease",
};

static void test_close(struct hush_provider *self)
{
    (void)self; /* holds nothing between calls */
}

/* -- Fetch ------------------------------------------------------------------------------------- */

static bool test_is_control(const char *name)
{
    const char *last = strrchr(name, '/');
    const size_t size = strlen(name);

    last = last == NULL ? name : last + 1;
    if (last[0] == '.' || last[0] == '\0')
        return true;
    for (size_t i = 0; i < sizeof(test_suffixes) / sizeof(test_suffixes[0]); i++) {
        const size_t tail = strlen(test_suffixes[i]);

        if (size >= tail && strcmp(name + size - tail, test_suffixes[i]) == 0)
            return true;
    }
    return false;
}

/* Segments that are neither empty nor "." or "..". */
static bool test_is_name(const char *name)
{
    for (;;) {
        const size_t size = strcspn(name, "/");

        if (size == 0 || (size <= 2 && strspn(name, ".") >= size))
            return false;
        if (name[size] == '\0')
            return true;
        name += size + 1;
    }
}

static enum hush_status test_read(const struct test_provider *test, struct hush_op *op,
                                  const char *name, struct hush_secret **out)
{
    const bool both = test_exists(test, name, ".value");
    cleanup_free char *path = test_path(test, name, both ? ".value" : "");
    cleanup_close int fd = path == NULL ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    enum hush_status status;
    uint8_t *bytes;
    struct stat st;
    ssize_t got;

    if (fd < 0 || fstat(fd, &st) != 0)
        return hush_fail(op, hush_status_from_errno(errno), "'%s': %m", name);
    if (!S_ISREG(st.st_mode))
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' is a folder", name);
    if ((uint64_t)st.st_size > op->secret_max)
        return hush_fail(op, HUSH_TOO_LARGE, "'%s' is too large", name);
    status = hush_secret_alloc(op, (size_t)st.st_size, out, &bytes);
    if (status != HUSH_OK)
        return status;
    got = read(fd, bytes, (size_t)st.st_size);
    if (got == st.st_size)
        return HUSH_OK;
    *out = hush_secret_unref(*out);
    return hush_fail(op, HUSH_BACKEND, "'%s' could not be read: %m", name);
}

/* Tests replace files faster than time stamps tell, so without NAME.version the content decides. */
static void test_version(const struct test_provider *test, const char *name,
                         const struct hush_secret *secret, struct hush_version *out)
{
    const uint8_t *bytes = hush_secret_bytes(secret);
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    char line[TEST_CONTROL_MAX];

    for (size_t i = 0; i < hush_secret_size(secret); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    if (test_control(test, name, ".version", line))
        (void)snprintf(out->text, sizeof(out->text), "%.*s", HUSH_VERSION_MAX, line);
    else
        (void)snprintf(out->text, sizeof(out->text), "%016" PRIx64, hash);
}

/* A version by its name. False: it may be the current one. */
static bool test_named(const struct test_provider *test, struct hush_op *op,
                       const struct hush_ref *ref, struct hush_value *value,
                       enum hush_status *status)
{
    char name[HUSH_PATH_MAX + HUSH_VERSION_MAX + sizeof(".versions/")];

    if (ref->version.text[0] == '\0' || strchr(ref->version.text, '/') != NULL)
        return false;
    (void)snprintf(name, sizeof(name), "%s.versions/%s", ref->path, ref->version.text);
    if (!test_exists(test, name, ""))
        return false;
    *status = test_read(test, op, name, &value->secret);
    value->meta.version = ref->version;
    return true;
}

static enum hush_status test_meta(const struct test_provider *test, struct hush_op *op,
                                  const char *name, struct hush_meta *meta)
{
    uint64_t ttl_ms = 0, left_s = 0;
    enum hush_status status = test_number(test, op, name, ".ttl", &ttl_ms);

    if (status == HUSH_OK)
        status = test_number(test, op, name, ".not_after", &left_s);
    meta->ttl_ms = (uint32_t)ttl_ms;
    meta->not_after = left_s > 0 ? hush_wall_s() + (time_t)left_s : 0;
    return status;
}

static enum hush_status test_fill(const struct test_provider *test, struct hush_op *op,
                                  const struct hush_ref *ref, const struct hush_version *if_not,
                                  struct hush_value *value)
{
    enum hush_status status = test_meta(test, op, ref->path, &value->meta);

    if (status != HUSH_OK || test_named(test, op, ref, value, &status))
        return status;
    status = test_read(test, op, ref->path, &value->secret);
    if (status != HUSH_OK)
        return status;
    test_version(test, ref->path, value->secret, &value->meta.version);
    if (test_exists(test, ref->path, ".dynamic"))
        return test_credential(test, op, ref->path, value);
    if (ref->version.text[0] != '\0' && strcmp(value->meta.version.text, ref->version.text) != 0)
        return hush_fail(op, HUSH_NOT_FOUND, "there is no version '%s'", ref->version.text);
    if (if_not->text[0] != '\0' && strcmp(value->meta.version.text, if_not->text) == 0) {
        value->secret = hush_secret_unref(value->secret);
        value->unchanged = true;
        return HUSH_OK;
    }
    if (test_exists(test, ref->path, ".fields"))
        status = hush_json_fields(op, value->secret, value);
    return status;
}

static enum hush_status test_fetch(struct hush_provider *self, struct hush_op *op,
                                   const struct hush_ref *ref, const struct hush_version *if_not,
                                   struct hush_value *out)
{
    const struct test_provider *test = HUSH_PROVIDER(struct test_provider, self);
    struct hush_value value = {0};
    enum hush_status status;

    test_log_call(test, "fetch", ref->path, ref->version.text);
    if (!test_is_name(ref->path) || test_is_control(ref->path))
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' is no name of a secret", ref->path);
    status = test_script(test, op, ref->path);
    if (status != HUSH_OK)
        return status;
    status = test_fill(test, op, ref, if_not, &value);
    if (status != HUSH_OK) {
        hush_value_clear(&value);
        return status;
    }
    *out = value;
    return HUSH_OK;
}

/* -- List -------------------------------------------------------------------------------------- */

/* A listing under way. */
struct test_listing {
    const struct test_provider *test;
    const char *prefix;
    hush_emit_fn *emit;
    void *ctx;
};

static enum hush_status test_list_entry(const struct test_listing *l, const struct dirent *entry)
{
    const bool folder = entry->d_type == DT_DIR;
    struct hush_entry found = {.name = entry->d_name,
                               .kind = folder ? HUSH_KIND_FOLDER : HUSH_KIND_SECRET};
    cleanup_free char *name = NULL;
    enum hush_status status;

    if (test_is_control(entry->d_name))
        return HUSH_OK;
    status = l->emit(l->ctx, &found);
    if (status != HUSH_OK || !folder || asprintf(&name, "%s/%s", l->prefix, entry->d_name) < 0 ||
        !test_exists(l->test, name, ".value"))
        return status;
    found.kind = HUSH_KIND_SECRET;
    return l->emit(l->ctx, &found);
}

static enum hush_status test_list_dir(struct hush_op *op, DIR *dir, const struct test_listing *l)
{
    const struct dirent *entry;

    /* cppcheck-suppress readdirCalled ; one thread has this stream */
    while ((entry = readdir(dir)) != NULL) {
        enum hush_status status = test_check_op(op);

        if (status == HUSH_OK)
            status = test_list_entry(l, entry);
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}

/* It has read the names, and may wait before it says so. */
static enum hush_status test_listed(const struct test_provider *test, struct hush_op *op,
                                    const char *prefix, enum hush_status listed)
{
    enum hush_status status;

    if (!test_exists(test, ".listed", ".hang"))
        return listed;
    test_log_call(test, "listed", prefix, "");
    status = test_script(test, op, ".listed");
    return status != HUSH_OK ? status : listed;
}

static enum hush_status test_list(struct hush_provider *self, struct hush_op *op,
                                  const char *prefix, hush_emit_fn *emit, void *ctx)
{
    const struct test_provider *test = HUSH_PROVIDER(struct test_provider, self);
    const struct test_listing listing = {test, prefix, emit, ctx};
    cleanup_free char *path = test_path(test, prefix, "");
    enum hush_status status;
    DIR *dir;

    test_log_call(test, "list", prefix, "");
    status = test_script(test, op, ".list");
    if (status != HUSH_OK)
        return status;
    if (test_exists(test, ".unlisted", ""))
        return hush_fail(op, HUSH_UNSUPPORTED, "listing is switched off by '.unlisted'");
    if (prefix[0] != '\0' && !test_is_name(prefix))
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' is no name of a folder", prefix);
    dir = path == NULL ? NULL : opendir(path);
    if (dir == NULL)
        return test_listed(test, op, prefix,
                           hush_fail(op, hush_status_from_errno(errno), "'%s': %m", prefix));
    status = test_list_dir(op, dir, &listing);
    (void)closedir(dir); /* was opened for reading */
    return test_listed(test, op, prefix, status);
}

const struct hush_provider_ops hush_provider_test = {
    .name = "test",
    .summary = "files that script a backend, for tests",
    .flags = HUSH_HAS_VERSIONS | HUSH_HAS_UNCHANGED,
    .size = sizeof(struct test_provider),
    .options = test_options,
    .open = test_open,
    .close = test_close,
    .fetch = test_fetch,
    .list = test_list,
    .watch = test_watch,
    .renew = test_renew,
    .revoke = test_revoke,
};
