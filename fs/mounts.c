/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.c - reads /proc/self/mountinfo; see mounts.h, and proc(5) for the format.
 */
#include "mounts.h"

#include "core/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FIELD_MOUNT_POINT = 4 /* from 0 */ };

/* "\040" and its like, in place. */
static void unescape(char *text)
{
    char *out = text;

    while (*text != '\0') {
        if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
            *out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *out++ = *text++;
        }
    }
    *out = '\0';
}

static void mounts_add(struct hush_mounts *mounts, const char *path)
{
    char **grown = reallocarray(mounts->paths, mounts->count + 1, sizeof(*grown));

    if (grown == NULL)
        return;
    mounts->paths = grown;
    grown[mounts->count] = strdup(path);
    if (grown[mounts->count] != NULL)
        mounts->count++;
}

/* ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS */
static void mounts_line(struct hush_mounts *mounts, char *line)
{
    char *rest = strstr(line, " - ");
    char *path = NULL;

    if (rest == NULL || strncmp(rest + 3, "fuse.hushfs ", strlen("fuse.hushfs ")) != 0)
        return;
    *rest = '\0';
    rest = line;
    for (int i = 0; i <= FIELD_MOUNT_POINT && rest != NULL; i++)
        path = strsep(&rest, " ");
    if (path == NULL || *path != '/')
        return;
    unescape(path);
    mounts_add(mounts, path);
}

void hush_mounts_parse(struct hush_mounts *mounts, FILE *mountinfo)
{
    cleanup_free char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, mountinfo) > 0)
        mounts_line(mounts, line);
}

bool hush_mounts_read(struct hush_mounts *mounts)
{
    cleanup_file FILE *mountinfo = fopen("/proc/self/mountinfo", "re");

    *mounts = (struct hush_mounts){0};
    if (mountinfo == NULL)
        return false;
    hush_mounts_parse(mounts, mountinfo);
    return true;
}

void hush_mounts_free(struct hush_mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++)
        free(mounts->paths[i]);
    free(mounts->paths);
    *mounts = (struct hush_mounts){0};
}

const char *hush_mounts_find(const struct hush_mounts *mounts, const char *path)
{
    const char *found = NULL;
    size_t found_size = 0;

    for (size_t i = 0; i < mounts->count; i++) {
        const size_t size = strlen(mounts->paths[i]);
        if (size >= found_size && strncmp(path, mounts->paths[i], size) == 0 &&
            (path[size] == '/' || path[size] == '\0')) {
            found = mounts->paths[i];
            found_size = size;
        }
    }
    return found;
}

bool hush_mounts_have(const struct hush_mounts *mounts, const char *path)
{
    for (size_t i = 0; i < mounts->count; i++)
        if (strcmp(mounts->paths[i], path) == 0)
            return true;
    return false;
}

/* The name behind the last slash, which is cut off; *parent is what is before it. */
static char *last_name(char *path, const char **parent)
{
    char *slash = strrchr(path, '/');

    *parent = ".";
    if (slash == NULL)
        return path;
    *slash = '\0';
    *parent = slash == path ? "/" : path;
    return slash + 1;
}

bool hush_mounts_resolve_parent(const char *path, char out[PATH_MAX])
{
    char copy[PATH_MAX], real[PATH_MAX];
    const char *parent;
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(copy, path, size);
    copy[size] = '\0';
    const char *name = last_name(copy, &parent);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return realpath(path, out) != NULL;
    if (realpath(parent, real) == NULL)
        return false;
    const bool top = strcmp(real, "/") == 0;
    const int written = snprintf(out, PATH_MAX, "%s/%s", top ? "" : real, name);
    return written > 0 && written < PATH_MAX;
}

bool hush_mounts_resolve(const char *path, char out[PATH_MAX])
{
    if (realpath(path, out) != NULL)
        return true;
    /* A dead mount answers ENOTCONN, one whose worker has trouble EIO: the name alone is enough. */
    return errno != ENOENT && errno != ENOTDIR && errno != EACCES &&
           hush_mounts_resolve_parent(path, out);
}
