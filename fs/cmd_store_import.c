/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store_import.c - `hushfs store import`; see cmd_store.h. What a directory, a JSON object or a
 * file of variables holds becomes secrets, in one commit. A value that is the current one already
 * makes no new version.
 */
#include "cmd_store.h"
#include "cmd_store_env.h"

#include "core/cleanup.h"
#include "json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    IMPORT_FILE_MAX = 4 << 20, /* of a JSON file or a file of variables */
    IMPORT_COUNT_MAX = 100000,
};

struct import {
    struct hush_store_run *run;
    struct sealed_store *store;
    size_t done, all, changed, empty;
};

/* -- One value --------------------------------------------------------------------------------- */

/* Is value the current one? A damaged one is none, and replaced. */
static enum hush_status import_compare(const struct import *import, const char *name,
                                       const struct hush_secret *value, bool *same)
{
    struct hush_op *op = &import->run->op;
    struct hush_secret *before = NULL;
    const enum hush_status status = hush_sealed_store_get(import->store, op, name, &before);

    if (status == HUSH_NO_MEMORY)
        return status;
    *same = status == HUSH_OK && hush_secret_equal(before, value);
    hush_secret_unref(before);
    op->detail[0] = '\0';
    return HUSH_OK;
}

static int import_value(struct import *import, const char *below, const struct hush_secret *value)
{
    const char *prefix = import->run->args->prefix;
    cleanup_free char *name = NULL;
    bool same = false;
    enum hush_status status;

    if (asprintf(&name, "%s%s%s", prefix == NULL ? "" : prefix, prefix == NULL ? "" : "/", below) <
        0) {
        name = NULL;
        return hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    }
    status = import_compare(import, name, value, &same);
    if (status == HUSH_OK && !same) {
        status = hush_sealed_store_stage(import->store, &import->run->op, name,
                                         hush_secret_bytes(value), hush_secret_size(value));
        import->changed++;
    }
    if (status != HUSH_OK)
        return hush_store_fail(import->run, status, name);
    import->done++;
    import->empty += hush_secret_size(value) == 0;
    hush_store_progress("import", import->done, import->all);
    return HUSH_CMD_DONE;
}

/* -- A directory ------------------------------------------------------------------------------- */

struct import_names {
    char **names; /* owned */
    size_t count;
};

static void import_names_done(struct import_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
}

/* Takes name over. */
static int import_add_name(struct import_names *names, char *name)
{
    char **grown = names->count >= IMPORT_COUNT_MAX
                       ? NULL
                       : realloc(names->names, (names->count + 1) * sizeof(*grown));

    if (grown == NULL) {
        free(name);
        return hush_cmd_fail(HUSH_CMD_FAILED, "more than %d files, or out of memory",
                             IMPORT_COUNT_MAX);
    }
    names->names = grown;
    grown[names->count++] = name;
    return HUSH_CMD_DONE;
}

struct import_scan {
    int top_fd;
    struct import_names files, dirs; /* dirs: also those that were read already */
};

/* Files, and links to files as Kubernetes makes them; not what begins with "..", which is its own.
 */
static int import_scan_entry(struct import_scan *scan, const char *dir, const char *entry)
{
    char *name = NULL;
    struct stat st;
    int status;

    if (strcmp(entry, ".") == 0 || strncmp(entry, "..", 2) == 0)
        return HUSH_CMD_DONE;
    if (asprintf(&name, "%s%s%s", dir, dir[0] == '\0' ? "" : "/", entry) < 0)
        return hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    if (strlen(name) <= HUSH_PATH_MAX && fstatat(scan->top_fd, name, &st, 0) == 0) {
        if (S_ISREG(st.st_mode))
            return import_add_name(&scan->files, name);
        if (S_ISDIR(st.st_mode))
            return import_add_name(&scan->dirs, name);
    }
    status = hush_cmd_fail(HUSH_CMD_FAILED, "%s: neither a file nor a directory", name);
    free(name);
    return status;
}

static int import_scan_dir(struct import_scan *scan, const char *path)
{
    const int fd =
        openat(scan->top_fd, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int status = HUSH_CMD_DONE;

    if (dir == NULL) {
        status = hush_cmd_fail(HUSH_CMD_FAILED, "%s: %m", path);
        if (fd >= 0)
            (void)close(fd); /* was read only */
        return status;
    }
    /* cppcheck-suppress readdirCalled ; one thread has this stream */
    while (status == HUSH_CMD_DONE && (entry = readdir(dir)) != NULL)
        status = import_scan_entry(scan, path, entry->d_name);
    (void)closedir(dir); /* was read only */
    return status;
}

static int import_file(struct import *import, int top_fd, const char *name)
{
    cleanup_close int fd = openat(top_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct hush_secret *value = NULL;
    int status;

    if (fd < 0)
        return hush_cmd_fail(HUSH_CMD_FAILED, "%s: %m", name);
    status = hush_store_read(import->run, fd, name, HUSH_SECRET_SIZE_MAX, &value);
    if (status != HUSH_CMD_DONE)
        return status;
    if (import->run->args->strip)
        hush_store_strip(value);
    status = import_value(import, name, value);
    hush_secret_unref(value);
    return status;
}

static int import_dir(struct import *import, int fd)
{
    struct import_scan scan = {.top_fd = fd};
    int status = import_scan_dir(&scan, "");

    for (size_t i = 0; status == HUSH_CMD_DONE && i < scan.dirs.count; i++)
        status = import_scan_dir(&scan, scan.dirs.names[i]);
    import->all = scan.files.count;
    for (size_t i = 0; status == HUSH_CMD_DONE && i < scan.files.count; i++)
        status = import_file(import, fd, scan.files.names[i]);
    import_names_done(&scan.files);
    import_names_done(&scan.dirs);
    return status;
}

/* -- Files that hold several ------------------------------------------------------------------- */

static int import_fields(struct import *import, const struct hush_value *value)
{
    int status = HUSH_CMD_DONE;

    import->all = value->field_count;
    for (size_t i = 0; status == HUSH_CMD_DONE && i < value->field_count; i++)
        status = import_value(import, value->fields[i].name, value->fields[i].value);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static int import_text(struct import *import, int fd, const char *path)
{
    struct hush_op *op = &import->run->op;
    struct hush_secret *text = NULL;
    struct hush_value value = {0};
    enum hush_status status;
    int done = hush_store_read(import->run, fd, path, IMPORT_FILE_MAX, &text);

    if (done != HUSH_CMD_DONE)
        return done;
    hush_op_init(op, import->run->arena, 0);
    status = ends_with(path, ".json") ? hush_json_fields(op, text, &value)
                                      : hush_store_env_fields(op, text, &value);
    hush_secret_unref(text);
    done = status == HUSH_OK ? import_fields(import, &value)
                             : hush_store_fail(import->run, status, path);
    hush_value_clear(&value);
    return done;
}

static int import_all(struct import *import, int fd, const char *path, const struct stat *st)
{
    struct hush_store_run *run = import->run;
    int status = hush_store_open(run, &import->store);
    enum hush_status committed = HUSH_OK;

    if (status != HUSH_CMD_DONE)
        return status;
    status = S_ISDIR(st->st_mode) ? import_dir(import, fd) : import_text(import, fd, path);
    hush_op_init(&run->op, run->arena, 0);
    if (status == HUSH_CMD_DONE && import->changed > 0)
        committed = hush_sealed_store_commit(import->store, &run->op);
    hush_sealed_store_close(import->store);
    return committed == HUSH_OK ? status : hush_store_fail(run, committed, path);
}

static void import_report(const struct import *import)
{
    (void)printf("%zu secret%s: %zu new or changed", import->done, import->done == 1 ? "" : "s",
                 import->changed);
    if (import->empty > 0)
        (void)printf("; %zu empty", import->empty);
    (void)putchar('\n');
}

int hush_store_import(struct hush_store_run *run)
{
    const char *path = run->args->names[0], *prefix = run->args->prefix;
    struct import import = {.run = run};
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    int status = prefix == NULL ? HUSH_CMD_DONE : hush_store_check_name(prefix);

    if (status != HUSH_CMD_DONE)
        return status;
    if (fd < 0 || fstat(fd, &st) != 0)
        status =
            hush_cmd_fail(errno == ENOENT ? HUSH_CMD_NOT_FOUND : HUSH_CMD_FAILED, "%s: %m", path);
    else if (!S_ISDIR(st.st_mode) && !ends_with(path, ".json") && !ends_with(path, ".env"))
        status = hush_cmd_fail(HUSH_CMD_USAGE,
                               "%s: not a directory, and its name ends neither in .json nor in "
                               ".env",
                               path);
    else
        status = import_all(&import, fd, path, &st);
    if (status == HUSH_CMD_DONE)
        import_report(&import);
    return status;
}
