/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c - the scriptable provider's credentials, leases, login and watch. See test.c. */
#include "script.h"

#include "core/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* How many calls there were: a number that is another one after each call, in every worker. */
static unsigned calls_so_far(const struct test_provider *test)
{
    cleanup_free char *path = test_path(test, ".calls", "");
    cleanup_close int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    unsigned lines = 0;
    char text[4096];
    ssize_t n;

    while (fd >= 0 && (n = read(fd, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += text[i] == '\n';
    return lines;
}

enum hush_status test_credential(const struct test_provider *test, struct hush_op *op,
                                 const char *name, struct hush_value *value)
{
    struct hush_secret *before = value->secret;
    unsigned number = calls_so_far(test);
    char text[1024], line[TEST_CONTROL_MAX];
    int n = snprintf(text, sizeof(text), "%.*s%u", (int)hush_secret_size(before),
                     (const char *)hush_secret_bytes(before), number);
    enum hush_status status = hush_secret_new(op, text, (size_t)n, &value->secret);

    if (status != HUSH_OK)
        return status;
    hush_secret_unref(before);
    value->meta.dynamic = true;
    (void)snprintf(value->meta.version.text, sizeof(value->meta.version.text), "%u", number);
    if (!test_control(test, name, ".lease", line))
        return HUSH_OK;
    (void)snprintf(value->meta.lease, sizeof(value->meta.lease), "%.256s@%u", name, number);
    value->meta.renewable = strcmp(line, "renewable") == 0;
    return HUSH_OK;
}

/* NAME.what of a lease: the name of its control files. */
static char *lease_name(const char *lease, const char *what)
{
    char *name;

    return asprintf(&name, "%.*s.%s", (int)strcspn(lease, "@"), lease, what) < 0 ? NULL : name;
}

enum hush_status test_renew(struct hush_provider *self, struct hush_op *op, const char *lease,
                            struct hush_meta *meta)
{
    const struct test_provider *test = HUSH_PROVIDER(struct test_provider, self);
    cleanup_free char *script = lease_name(lease, "renew");
    cleanup_free char *name = strndup(lease, strcspn(lease, "@"));
    uint64_t ttl_ms = 0;
    enum hush_status status;

    if (script == NULL || name == NULL)
        return HUSH_NO_MEMORY;
    test_log_call(test, "renew", lease, "");
    status = test_script(test, op, script);
    if (status == HUSH_OK)
        status = test_number(test, op, name, ".ttl", &ttl_ms);
    if (status == HUSH_OK)
        status = test_number(test, op, script, ".ttl", &ttl_ms);
    if (status != HUSH_OK)
        return status;
    meta->ttl_ms = (uint32_t)ttl_ms;
    meta->renewable = true;
    return HUSH_OK;
}

enum hush_status test_revoke(struct hush_provider *self, struct hush_op *op, const char *lease)
{
    const struct test_provider *test = HUSH_PROVIDER(struct test_provider, self);
    cleanup_free char *script = lease_name(lease, "revoke");

    test_log_call(test, "revoke", lease, "");
    return script == NULL ? HUSH_NO_MEMORY : test_script(test, op, script);
}

/* -- Login ------------------------------------------------------------------------------------- */

static enum hush_status login(struct test_provider *test, struct hush_op *op)
{
    struct hush_secret *kept = hush_stash_get(&test->base, "login");
    char text[32];
    enum hush_status status;

    if (kept != NULL) {
        (void)snprintf(text, sizeof(text), "%.*s", (int)hush_secret_size(kept),
                       (const char *)hush_secret_bytes(kept));
        hush_secret_unref(kept);
        test_log_call(test, "resume", text, "");
        return HUSH_OK;
    }
    (void)snprintf(text, sizeof(text), "%u", calls_so_far(test));
    test_log_call(test, "login", text, "");
    status = hush_secret_new(op, text, strlen(text), &kept);
    if (status == HUSH_OK)
        status = hush_stash_put(&test->base, op, "login", kept);
    hush_secret_unref(kept);
    return status;
}

enum hush_status test_open(struct hush_provider *self, struct hush_op *op)
{
    struct test_provider *test = HUSH_PROVIDER(struct test_provider, self);
    enum hush_status status;
    char line[TEST_CONTROL_MAX];

    if (test_exists(test, ".open", ".error"))
        test_log_call(test, "open", "", "");
    status = test_script(test, op, ".open");
    if (status != HUSH_OK)
        return status;
    if (!test_control(test, "", ".watch", line) || strcmp(line, "partial") == 0)
        self->flags |= HUSH_WATCH_IS_PARTIAL;
    if (test_exists(test, "", ".login"))
        self->flags |= HUSH_GIVES_LOGIN_BACK;
    if (test_exists(test, "", ".once"))
        self->flags |= HUSH_ONE_SECRET_PER_READ;
    return test_exists(test, "", ".stash") ? login(test, op) : HUSH_OK;
}

/* -- Watch ------------------------------------------------------------------------------------- */

/* Was .changed written since it looked like last? */
static bool changed_since(const struct test_provider *test, struct stat *last)
{
    cleanup_free char *path = test_path(test, "", ".changed");
    struct stat now;
    bool is;

    if (path == NULL || stat(path, &now) != 0)
        return false;
    is = now.st_ino != last->st_ino || now.st_mtim.tv_sec != last->st_mtim.tv_sec ||
         now.st_mtim.tv_nsec != last->st_mtim.tv_nsec;
    *last = now;
    return is;
}

static void test_report(const struct test_provider *test, const char *path,
                        hush_changed_fn *changed, void *ctx)
{
    changed(ctx, path);
    if (test_exists(test, "", ".watchlog"))
        test_log_call(test, "changed", path, "");
}

/* What .upkeep says now; last: said before. */
static void tell_upkeep(struct test_provider *test, struct hush_op *op, enum hush_status *last)
{
    const enum hush_status status = test_script(test, op, ".upkeep");

    if (status != *last)
        hush_provider_tell(&test->base, status, op->detail);
    *last = status;
}

enum hush_status test_watch(struct hush_provider *self, struct hush_op *op,
                            hush_changed_fn *changed, void *ctx)
{
    struct test_provider *test = HUSH_PROVIDER(struct test_provider, self);
    enum hush_status upkeep = HUSH_OK;
    char line[TEST_CONTROL_MAX];
    struct stat last = {0};

    if (test_exists(test, "", ".watchlog"))
        test_log_call(test, "watch", "", "");
    while (!hush_op_canceled(op)) {
        if (!test_exists(test, "", ".watch"))
            return hush_fail(op, HUSH_UNSUPPORTED, "there is no '.watch'");
        if (changed_since(test, &last) && test_control(test, "", ".changed", line))
            test_report(test, strcmp(line, "*") == 0 ? "" : line, changed, ctx);
        tell_upkeep(test, op, &upkeep);
        test_sleep_ms(TEST_SLICE_MS);
    }
    return HUSH_CANCELED;
}
