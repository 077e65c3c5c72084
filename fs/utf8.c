/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.c - one table, as in The Unicode Standard, table 3-7. Names (name.c) and configurations
 * (config_text.c) ask.
 */
#include "utf8.h"

#include <stdint.h>

struct row {
    uint8_t first, last;   /* range of the leading byte */
    uint8_t lowest, above; /* range of the second byte; the others are 80..BF */
    uint8_t length;
};

/* clang-format off */
static const struct row rows[] = {
    { 0x00, 0x7f, 0x00, 0x00, 1 },
    { 0xc2, 0xdf, 0x80, 0xbf, 2 },
    { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
    { 0xe1, 0xec, 0x80, 0xbf, 3 },
    { 0xed, 0xed, 0x80, 0x9f, 3 },
    { 0xee, 0xef, 0x80, 0xbf, 3 },
    { 0xf0, 0xf0, 0x90, 0xbf, 4 },
    { 0xf1, 0xf3, 0x80, 0xbf, 4 },
    { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};
/* clang-format on */

static size_t utf8_rest(const struct row *row, const uint8_t *bytes, size_t size)
{
    if (size < row->length)
        return 0;
    if (row->length > 1 && (bytes[1] < row->lowest || bytes[1] > row->above))
        return 0;
    for (size_t i = 2; i < row->length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return row->length;
}

size_t hush_utf8_sequence(const char *bytes, size_t size)
{
    const uint8_t *b = (const uint8_t *)bytes;

    if (size == 0)
        return 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (b[0] >= rows[i].first && b[0] <= rows[i].last)
            return utf8_rest(&rows[i], b, size);
    return 0;
}
