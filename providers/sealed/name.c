/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.c - see name.h. The index keeps texts, the files are found by paths.
 */
#include "sealed/name.h"

#include "provider.h"

#include <stdint.h>
#include <string.h>

static char *name_escape(char *to, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t byte = (uint8_t)c;

    *to++ = '%';
    *to++ = digits[byte >> 4];
    *to++ = digits[byte & 15];
    return to;
}

static bool name_is_plain(char c)
{
    return (uint8_t)c >= 0x20 && (uint8_t)c != 0x7f && c != '%';
}

void hush_sealed_name_text(const char *raw, char *out)
{
    for (; *raw != '\0'; raw++) {
        if (name_is_plain(*raw) && (uint8_t)*raw < 0x7f)
            *out++ = *raw;
        else
            out = name_escape(out, *raw);
    }
    *out = '\0';
}

static bool name_is_version_file(const char *segment, size_t size)
{
    const size_t digits = strspn(segment, "0123456789");

    return digits > 0 && size == digits + 4 && memcmp(segment + digits, ".jwe", 4) == 0;
}

static char *name_segment_path(const char *segment, size_t size, char *out)
{
    size_t i = 0;

    if (segment[0] == '.' || name_is_version_file(segment, size))
        out = name_escape(out, segment[i++]);
    for (; i < size; i++) {
        if (name_is_plain(segment[i]))
            *out++ = segment[i];
        else
            out = name_escape(out, segment[i]);
    }
    return out;
}

void hush_sealed_name_path(const char *raw, char *out)
{
    for (;;) {
        const size_t size = strcspn(raw, "/");
        out = name_segment_path(raw, size, out);
        if (raw[size] == '\0')
            break;
        *out++ = '/';
        raw += size + 1;
    }
    *out = '\0';
}

const char *hush_sealed_name_fault(const char *raw)
{
    char shown[SEALED_TEXT_MAX + 1];

    if (strlen(raw) > HUSH_PATH_MAX)
        return "it is longer than 2048 bytes";
    for (const char *segment = raw;; segment++) {
        const size_t size = strcspn(segment, "/");
        if (size == 0)
            return raw[0] == '\0' ? "it is empty" : "a part between slashes is empty";
        if (name_segment_path(segment, size, shown) - shown > SEALED_SEGMENT_MAX)
            return "a part between slashes is longer than a file name can be";
        segment += size;
        if (*segment == '\0')
            return NULL;
    }
}

static int name_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hush_sealed_name_from_text(const char *text, char *raw)
{
    char again[SEALED_TEXT_MAX + 1];
    char *to = raw;

    if (strlen(text) > SEALED_TEXT_MAX)
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        const int high = name_digit(at[1]);
        const int low = high < 0 ? -1 : name_digit(at[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to++ = (char)(high << 4 | low);
        at += 2;
    }
    *to = '\0';
    if (hush_sealed_name_fault(raw) != NULL)
        return false;
    hush_sealed_name_text(raw, again);
    return strcmp(again, text) == 0;
}
