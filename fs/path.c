/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.c - paths of this host by name; see path.h. The configuration and the command line call it.
 */
#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hush_path_fold(const char *path, char out[PATH_MAX])
{
    size_t used = 0;

    while (*path != '\0') {
        path += strspn(path, "/");
        const size_t size = strcspn(path, "/");
        const char *name = path;
        path += size;
        if (size == 0 || (size == 1 && name[0] == '.'))
            continue;
        if (size == 2 && name[0] == '.' && name[1] == '.') {
            while (used > 0 && out[--used] != '/')
                ;
            continue;
        }
        if (used + size + 2 > PATH_MAX)
            return false;
        out[used++] = '/';
        memcpy(out + used, name, size);
        used += size;
    }
    out[used] = '\0';
    return true;
}

static bool folded_is_below(const char *path, const char *top)
{
    const size_t size = strlen(top);

    return strncmp(path, top, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

/* Follow the links of as much of path as there is; the rest by name. */
static bool path_resolve(const char *path, char out[PATH_MAX])
{
    char begin[PATH_MAX], real[PATH_MAX], whole[2 * PATH_MAX];

    if (strlen(path) >= PATH_MAX)
        return false;
    memcpy(begin, path, strlen(path) + 1);
    while (begin[0] != '\0' && realpath(begin, real) == NULL) {
        char *slash = strrchr(begin, '/');
        if (slash == NULL)
            return false;
        *slash = '\0';
    }
    if (begin[0] == '\0')
        real[0] = '\0';
    (void)snprintf(whole, sizeof(whole), "%s%s", real, path + strlen(begin)); /* it fits */
    return hush_path_fold(whole, out);
}

bool hush_path_is_below(const char *path, const char *top, bool host)
{
    char folded[PATH_MAX], folded_top[PATH_MAX];

    if (!hush_path_fold(path, folded) || !hush_path_fold(top, folded_top))
        return false;
    if (folded_is_below(folded, folded_top))
        return true;
    return host && path_resolve(path, folded) && path_resolve(top, folded_top) &&
           folded_is_below(folded, folded_top);
}
