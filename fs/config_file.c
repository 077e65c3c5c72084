/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file.c - the files of a configuration: which there are, and whether they are as
 * trustworthy as the process that obeys them. The command line calls hush_config_load(); the worker
 * is given a text and calls hush_config_parse().
 */
#include "config_int.h"

#include "core/cleanup.h"
#include "path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 1000 };

struct loader {
    struct hush_sections sections;
    struct hush_report report;
    struct hush_report warnings;
    char **files;
    const char *first; /* of files: the one that was asked for */
    size_t file_count;
};

/* -- One file ---------------------------------------------------------------------------------- */

/* What makes a file or directory somebody else's; NULL: nothing. */
static const char *trust_fault(const struct stat *st)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return "it belongs to another user: chown it to root";
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return "others can write it: chmod go-w";
    return NULL;
}

static const char *file_fault(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return S_ISDIR(st->st_mode) ? "it is a directory" : "it is no regular file";
    if (st->st_size > HUSH_CONFIG_SIZE_MAX)
        return "it is larger than 1 MiB";
    return trust_fault(st);
}

/* What is in fd, at most one byte more than size_max. NULL with errno. */
static char *read_all(int fd, size_t size_max, size_t *size)
{
    char *text = malloc(size_max + 1);
    size_t used = 0;

    while (text != NULL && used <= size_max) {
        const ssize_t n = read(fd, text + used, size_max + 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(text);
            return NULL;
        }
        if (n == 0)
            break;
        used += (size_t)n;
    }
    *size = used;
    return text;
}

/* O_NONBLOCK: a fifo must not hold us until we see that it is one. */
static int file_open(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static void load_file(struct loader *loader, const char *path)
{
    struct stat st;
    size_t size = 0;
    cleanup_close int fd = file_open(path);

    if (fd < 0 || fstat(fd, &st) != 0) {
        const bool none = errno == ENOENT && strcmp(path, HUSH_CONFIG_FILE) == 0;
        hush_report_add(&loader->report, path, 0, "%m%s",
                        none ? " (-c FILE names another one, hushfs.conf(5) has examples)" : "");
        return;
    }
    const char *fault = file_fault(&st);
    if (fault != NULL) {
        hush_report_add(&loader->report, path, 0, "%s", fault);
        return;
    }
    cleanup_free char *text = read_all(fd, HUSH_CONFIG_SIZE_MAX, &size);
    if (text == NULL) {
        hush_report_add(&loader->report, path, 0, "%m");
        return;
    }
    if (size > HUSH_CONFIG_SIZE_MAX) {
        hush_report_add(&loader->report, path, 0, "it grew over 1 MiB");
        return;
    }
    hush_sections_read(&loader->sections, text, size, path, &loader->report);
}

/* -- All files --------------------------------------------------------------------------------- */

static bool files_add(struct loader *loader, char *path) /* path is owned from now on */
{
    char **grown = reallocarray(loader->files, loader->file_count + 1, sizeof(*grown));

    if (grown != NULL)
        loader->files = grown;
    if (grown == NULL || path == NULL) {
        free(path);
        return false;
    }
    grown[loader->file_count++] = path;
    loader->report.files = (const char *const *)grown;
    loader->report.file_count = loader->file_count;
    loader->warnings.files = loader->report.files;
    loader->warnings.file_count = loader->file_count;
    return true;
}

static int is_part(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".conf") == 0;
}

static int name_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort(), which asks the locale */
}

/* dir: conf.d, as an absolute or relative path. That it does not exist is no error. */
static void files_find(struct loader *loader, const char *dir)
{
    struct dirent **entries = NULL;
    struct stat st = {0};

    if (stat(dir, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return;
    const int count = scandir(dir, &entries, is_part, name_order);
    const char *fault = trust_fault(&st);
    if (count < 0)
        hush_report_add(&loader->report, loader->first, 0, "%s beside it: %m", dir);
    else if (fault != NULL)
        hush_report_add(&loader->report, loader->first, 0, "%s beside it: %s", dir, fault);
    else if (count > FILES_MAX)
        hush_report_add(&loader->report, loader->first, 0, "%s beside it: too many files", dir);
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (fault == NULL && i < FILES_MAX &&
            (asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0 || !files_add(loader, path)))
            hush_report_add(&loader->report, loader->first, 0, "out of memory");
        free(entries[i]);
    }
    free(entries);
}

static char *parts_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = NULL;

    if (asprintf(&dir, "%.*sconf.d", slash == NULL ? 0 : (int)(slash + 1 - path), path) < 0)
        return NULL;
    return dir;
}

/* A configuration below the mount could not be read again while the mount is in trouble. */
static void check_places(struct loader *loader, const struct hush_config *config)
{
    const char *top = config == NULL ? NULL : config->mount.path;

    for (size_t i = 0; top != NULL && i < loader->file_count; i++)
        if (loader->files[i][0] == '/' && hush_path_is_below(loader->files[i], top, true))
            hush_report_add(&loader->report, loader->files[i], 0,
                            "it must not be below the mount, which is %s", top);
}

static void load_all(struct loader *loader, const char *path)
{
    cleanup_free char *dir = parts_directory(path);

    if (!files_add(loader, strdup(path)) || dir == NULL) {
        hush_report_add(&loader->report, path, 0, "out of memory");
        return;
    }
    loader->first = loader->files[0];
    files_find(loader, dir);
    for (size_t i = 0; i < loader->file_count; i++)
        load_file(loader, loader->files[i]);
}

struct hush_config *hush_config_check(const char *path, const struct hush_pair *mount_keys,
                                      size_t count, hush_config_error_fn *error,
                                      hush_config_error_fn *warning, void *ctx)
{
    struct loader loader = {0};
    struct hush_config *config = NULL;

    load_all(&loader, path);
    /* Without the file all that could be said is that its sections are missing. */
    if (loader.file_count > 0 && (loader.sections.count > 0 || loader.report.count == 0))
        config =
            hush_config_make(&loader.sections, mount_keys, count, &loader.report, &loader.warnings);
    check_places(&loader, config);
    if (!hush_report_end(&loader.report, error, ctx)) {
        hush_config_free(config);
        config = NULL;
    }
    (void)hush_report_end(&loader.warnings, config == NULL ? NULL : warning, ctx);
    if (config != NULL && warning != NULL)
        hush_config_warn(config, warning, ctx);
    hush_sections_free(&loader.sections);
    for (size_t i = 0; i < loader.file_count; i++)
        free(loader.files[i]);
    free(loader.files);
    return config;
}

struct hush_config *hush_config_load_over(const char *path, const struct hush_pair *mount_keys,
                                          size_t count, hush_config_error_fn *error, void *ctx)
{
    return hush_config_check(path, mount_keys, count, error, NULL, ctx);
}

struct hush_config *hush_config_load(const char *path, hush_config_error_fn *error, void *ctx)
{
    return hush_config_load_over(path, NULL, 0, error, ctx);
}

struct hush_config *hush_config_parse(const char *text, size_t size, const char *name,
                                      hush_config_error_fn *error, void *ctx)
{
    struct hush_sections sections = {0};
    struct hush_report report = {.files = &name, .file_count = 1};

    hush_sections_read(&sections, text, size, name, &report);
    struct hush_config *config = hush_config_make(&sections, NULL, 0, &report, NULL);
    (void)hush_report_end(&report, error, ctx); /* no configuration: there was an error */
    hush_sections_free(&sections);
    return config;
}
