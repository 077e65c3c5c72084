/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_rfc3339.c - any bytes as a date. What is taken is a date of the years 1 to 9999, and in UTC
 * it is what the C library writes for it.
 */
#include "rfc3339.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Year to second, as text has them; a leap second cannot come back. */
static void check_text(const char *text, time_t at)
{
    char again[32];
    struct tm tm;

    require(gmtime_r(&at, &tm) != NULL);
    if (text[strlen(text) - 1] != 'Z' || memcmp(text + 17, "60", 2) == 0 || text[0] == '0')
        return;
    require(strftime(again, sizeof(again), "%Y-%m-%dT%H:%M:%S", &tm) == 19);
    require(memcmp(text, again, 10) == 0 && memcmp(text + 11, again + 11, 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    time_t at = 7;

    require(text != NULL);
    memcpy(text, data, size); /* NUL where it may be: what ends there is the text */
    text[size] = '\0';
    if (hush_rfc3339(text, &at)) {
        require(at >= -62135596800 - 86400 && at <= 253402300799 + 86400);
        check_text(text, at);
    } else {
        require(at == 7);
    }
    free(text);
    return 0;
}
