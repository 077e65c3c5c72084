// SPDX-License-Identifier: Apache-2.0
/* tool.c - see tool.h; linked by every C tool of the end-to-end tests. */
#include "tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t tool_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void tool_die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start() is above
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    exit(2);
}

static bool digits(const char *text, size_t count, unsigned base, uint32_t *out)
{
    static const char all[] = "0123456789abcdef";
    uint64_t value = 0;

    for (size_t i = 0; i < count; i++) {
        const char *at = text[i] ? memchr(all, text[i], base) : NULL;

        if (!at)
            return false;
        value = value * base + (uint64_t)(at - all);
        if (value > UINT32_MAX)
            return false;
    }
    *out = (uint32_t)value;
    return count > 0;
}

unsigned tool_number(const char *text)
{
    uint32_t value;

    if (!digits(text, strlen(text), 10, &value))
        tool_die("'%s' is not a number", text);
    return value;
}

/* The reflected CRC-32 of zlib, so that the tests' Python can make it with zlib.crc32(). */
static uint32_t crc(uint32_t sum, const unsigned char *bytes, size_t size)
{
    static const uint32_t nibbles[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };

    sum = ~sum;
    for (size_t i = 0; i < size; i++) {
        sum ^= bytes[i];
        sum = (sum >> 4) ^ nibbles[sum & 15];
        sum = (sum >> 4) ^ nibbles[sum & 15];
    }
    return ~sum;
}

const char *tool_check(const unsigned char *bytes, size_t size, uint32_t *version)
{
    const char *text = (const char *)bytes;
    uint32_t number;
    uint32_t length;
    uint32_t sum;

    if (size == 0)
        return "empty";
    if (size < TOOL_HEADER || memcmp(text, "HUSH ", 5) != 0 || text[TOOL_HEADER - 1] != '\n')
        return "no header";
    if (!digits(text + TOOL_VERSION_AT, TOOL_VERSION, 10, &number) ||
        !digits(text + 16, 6, 10, &length) || !digits(text + 23, 8, 16, &sum))
        return "bad header";
    if (size != (size_t)TOOL_HEADER + length)
        return "wrong length";
    if (crc(crc(0, bytes + TOOL_VERSION_AT, TOOL_VERSION), bytes + TOOL_HEADER, length) != sum)
        return "wrong checksum";
    *version = number;
    return NULL;
}
