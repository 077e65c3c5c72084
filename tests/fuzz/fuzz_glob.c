/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_glob.c - globs: the input is a glob, a line end and a path. What is fuzzed is memory and
 * time; that the answer is right is test_glob.c's.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *glob = malloc(size + 1);

    if (glob == NULL)
        return 0;
    memcpy(glob, data, size);
    glob[size] = '\0';
    char *path = strchr(glob, '\n');
    if (path != NULL) {
        *path++ = '\0';
        const bool matches = hush_glob_match(glob, path);
        if (strpbrk(glob, "*?") == NULL && matches != (strcmp(glob, path) == 0))
            abort();
        if (!hush_glob_match("**", path))
            abort();
    }
    free(glob);
    return 0;
}
