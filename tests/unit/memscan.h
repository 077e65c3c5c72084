/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memscan.h - look for a secret in all memory that this process can write. The secret is given as a
 * function from position to byte, so that the search itself keeps no copy.
 */
#ifndef HUSH_TEST_MEMSCAN_H
#define HUSH_TEST_MEMSCAN_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMSCAN_PIECE = 16 };

/* Sanitizers map terabytes of shadow, and keep freed memory: there is nothing to find out there.
 * Under valgrind (which sets LD_PRELOAD) it would take minutes. */
static inline bool memscan_works(void)
{
#ifdef HUSH_SANITIZED
    return false;
#else
    const char *preloaded = secure_getenv("LD_PRELOAD");

    return preloaded == NULL || strstr(preloaded, "valgrind") == NULL;
#endif
}

typedef unsigned char memscan_needle(size_t position);

static inline bool memscan_match(const volatile unsigned char *at, memscan_needle *needle,
                                 size_t from)
{
    for (size_t i = 0; i < MEMSCAN_PIECE; i++)
        if (at[i] != needle(from + i))
            return false;
    return true;
}

/* How many aligned 16-byte pieces of the needle (size bytes) stand in memory, wherever. */
static inline size_t memscan_count(memscan_needle *needle, size_t size)
{
    static char buffer[8192], line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    size_t count = 0;

    if (maps == NULL)
        return SIZE_MAX;
    (void)setvbuf(maps, buffer, _IOFBF, sizeof(buffer));
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *rest;
        const uintptr_t start = (uintptr_t)strtoumax(line, &rest, 16);
        const uintptr_t end = (uintptr_t)strtoumax(rest + 1, &rest, 16); /* START-END MODE … */

        if (strncmp(rest, " rw", 3) != 0 || strstr(line, "[v") != NULL)
            continue;
        for (uintptr_t at = start; at + MEMSCAN_PIECE <= end; at++)
            for (size_t from = 0; from + MEMSCAN_PIECE <= size; from += MEMSCAN_PIECE)
                count += *(const volatile unsigned char *)at == needle(from) &&
                         memscan_match((const volatile unsigned char *)at, needle, from);
    }
    (void)fclose(maps);
    return count;
}

#endif
