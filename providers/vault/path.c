/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.c - the paths below /v1/. The server decodes a path and cleans it (or redirects to the clean
 * one) before it looks at it, so two names could mean one secret: names that it would change are
 * not asked for. Pure.
 */
#include "vault_int.h"

#include <string.h>

/* One segment, which ends at '/' or NUL. */
static const char *segment_fault(const char *segment, size_t size)
{
    if (size == 0)
        return "has an empty segment";
    if (segment[0] == '.' && (size == 1 || (size == 2 && segment[1] == '.')))
        return "has a segment . or ..";
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)segment[i] < ' ' || segment[i] == 0x7f)
            return "has a control character";
    return NULL;
}

const char *vault_name_fault(const char *name)
{
    for (;;) {
        const size_t size = strcspn(name, "/");
        const char *fault = segment_fault(name, size);
        if (fault != NULL || name[size] == '\0')
            return fault;
        name += size + 1;
    }
}

enum hush_status vault_path(struct hush_op *op, const char *const parts[],
                            char out[VAULT_PATH_SIZE])
{
    char path[VAULT_PATH_SIZE];
    size_t used = 0;

    for (size_t i = 0; parts[i] != NULL; i++) {
        const char *fault = parts[i][0] == '\0' ? NULL : vault_name_fault(parts[i]);
        if (fault != NULL)
            return hush_fail(op, HUSH_NOT_FOUND, "the server cannot have this name: it %s", fault);
        if (parts[i][0] == '\0')
            continue;
        if (used != 0)
            path[used++] = '/';
        /* room for the next '/' */
        if (used + 1 >= sizeof(path) ||
            !hush_http_encode(parts[i], true, path + used, sizeof(path) - used - 1))
            return hush_fail(op, HUSH_NOT_FOUND,
                             "the server cannot have this name: it is too long");
        used += strlen(path + used);
    }
    path[used] = '\0';
    memcpy(out, path, used + 1);
    return HUSH_OK;
}
