/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.c - names of backends as file names and back (see name.h for the rule). The tree, the
 * command line and the fuzzer call it.
 *
 * What is shown is canonical: reading a shown name means decoding it, showing the result and
 * comparing. So nothing but what hush_name_show() makes is ever read, whatever the rule says.
 */
#include "name.h"

#include "provider.h"
#include "utf8.h"

#include <stdint.h>
#include <string.h>

struct output {
    char *text; /* HUSH_NAME_MAX + 1 bytes */
    size_t size;
    bool full;
};

static void output_put(struct output *out, char c)
{
    if (out->size >= HUSH_NAME_MAX)
        out->full = true;
    else
        out->text[out->size++] = c;
}

static void output_escape(struct output *out, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t byte = (uint8_t)c;

    output_put(out, '%');
    output_put(out, digits[byte >> 4]);
    output_put(out, digits[byte & 15]);
}

static bool name_equals(const char *raw, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(raw, text, size) == 0;
}

/* Names that mean something else below the mount: their dot is escaped. */
static bool name_is_ours(const char *raw, size_t size)
{
    static const char reserved[] = ".hushfs";

    if (size >= sizeof(reserved) - 1 && memcmp(raw, reserved, sizeof(reserved) - 1) == 0)
        return true;
    return name_equals(raw, size, ".") || name_equals(raw, size, "..") ||
           name_equals(raw, size, ".json") || name_equals(raw, size, ".value");
}

static bool name_is_plain(char c)
{
    const uint8_t byte = (uint8_t)c;

    return byte >= 0x20 && byte != 0x7f && c != '%';
}

size_t hush_name_show(const char *raw, size_t size, char out[HUSH_NAME_MAX + 1])
{
    char text[HUSH_NAME_MAX + 1];
    struct output output = {.text = text};
    size_t i = 0;

    if (size == 0) {
        memcpy(out, "%", 2);
        return 1;
    }
    if (size > HUSH_NAME_MAX || memchr(raw, '\0', size) != NULL || memchr(raw, '/', size) != NULL)
        return 0;
    if (name_is_ours(raw, size))
        output_escape(&output, raw[i++]);
    while (i < size) {
        const size_t length = hush_utf8_sequence(raw + i, size - i);
        if (length == 0 || (length == 1 && !name_is_plain(raw[i]))) {
            output_escape(&output, raw[i++]);
            continue;
        }
        for (const size_t end = i + length; i < end; i++)
            output_put(&output, raw[i]);
    }
    if (output.full)
        return 0;
    memcpy(out, text, output.size);
    out[output.size] = '\0';
    return output.size;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decode escapes without judging what was escaped; false: a '%' without two digits after it. */
static bool name_decode(const char *shown, size_t size, char *out, size_t *out_size)
{
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        if (shown[i] != '%') {
            out[used++] = shown[i];
            continue;
        }
        const int high = i + 2 < size ? digit_value(shown[i + 1]) : -1;
        const int low = i + 2 < size ? digit_value(shown[i + 2]) : -1;
        if (high < 0 || low < 0)
            return false;
        out[used++] = (char)(high << 4 | low);
        i += 2;
    }
    *out_size = used;
    return true;
}

bool hush_name_raw(const char *shown, char out[HUSH_NAME_MAX + 1])
{
    const size_t size = strlen(shown);
    char raw[HUSH_NAME_MAX + 1] = "";
    char again[HUSH_NAME_MAX + 1];
    size_t raw_size = 0;

    if (size == 0 || size > HUSH_NAME_MAX)
        return false;
    if (!name_equals(shown, size, "%") && !name_decode(shown, size, raw, &raw_size))
        return false;
    if (hush_name_show(raw, raw_size, again) != size || memcmp(again, shown, size) != 0)
        return false;
    memcpy(out, raw, raw_size);
    out[raw_size] = '\0';
    return true;
}

bool hush_name_split_version(const char *shown, char name[HUSH_NAME_MAX + 1], char version[64])
{
    const char *hash = strrchr(shown, '#');

    if (hash == NULL || hash == shown || hash[1] == '\0')
        return false;
    const size_t name_size = (size_t)(hash - shown);
    const size_t version_size = strlen(hash + 1);
    if (name_size > HUSH_NAME_MAX || version_size > HUSH_VERSION_MAX)
        return false;
    memcpy(name, shown, name_size);
    name[name_size] = '\0';
    memcpy(version, hash + 1, version_size + 1);
    return true;
}

/* Turn one segment of size bytes into out (HUSH_NAME_MAX + 1 bytes); false: it cannot be. */
typedef bool segment_fn(const char *segment, size_t size, char *out);

static bool segment_show(const char *segment, size_t size, char *out)
{
    return hush_name_show(segment, size, out) > 0;
}

static bool segment_raw(const char *segment, size_t size, char *out)
{
    char shown[HUSH_NAME_MAX + 1];

    if (size > HUSH_NAME_MAX)
        return false;
    memcpy(shown, segment, size);
    shown[size] = '\0';
    return hush_name_raw(shown, out);
}

static bool path_map(const char *path, segment_fn *fn, char *out, size_t size)
{
    size_t used = 0;

    for (;;) {
        char segment[HUSH_NAME_MAX + 1];
        const size_t length = strcspn(path, "/");
        if (!fn(path, length, segment))
            return false;
        const size_t segment_size = strlen(segment);
        if (segment_size + 1 > size - used)
            return false;
        memcpy(out + used, segment, segment_size);
        used += segment_size;
        if (path[length] == '\0')
            break;
        out[used++] = '/';
        path += length + 1;
    }
    out[used] = '\0';
    return true;
}

bool hush_path_show(const char *raw, char *out, size_t size)
{
    return path_map(raw, segment_show, out, size);
}

bool hush_path_raw(const char *shown, char *out, size_t size)
{
    return path_map(shown, segment_raw, out, size);
}

const char *hush_path_last(const char *shown)
{
    const char *slash = strrchr(shown, '/');

    return slash != NULL ? slash + 1 : shown;
}

bool hush_path_parent(const char *shown, char *out)
{
    const char *slash = strrchr(shown, '/');

    if (slash == NULL)
        return false;
    memcpy(out, shown, (size_t)(slash - shown));
    out[slash - shown] = '\0';
    return true;
}
