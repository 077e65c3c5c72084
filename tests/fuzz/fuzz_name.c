/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_name.c - names: every raw name that is shown reads back the same, and every shown name that
 * is read is shown the same again. Paths likewise.
 */
#include "name.h"
#include "provider.h"
#include "utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check_utf8(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        const size_t length = hush_utf8_sequence(text + i, size - i);
        if (length == 0 || length > size - i)
            abort();
        i += length;
    }
}

static void raw_to_shown(const char *raw, size_t size)
{
    char shown[HUSH_NAME_MAX + 1], again[HUSH_NAME_MAX + 1];
    const size_t shown_size = hush_name_show(raw, size, shown);

    if (shown_size == 0)
        return;
    if (shown_size != strlen(shown) || strchr(shown, '/') != NULL || strcmp(shown, ".") == 0 ||
        strcmp(shown, "..") == 0 || strncmp(shown, ".hushfs", 7) == 0)
        abort();
    check_utf8(shown, shown_size);
    if (!hush_name_raw(shown, again) || strlen(again) != size || memcmp(again, raw, size) != 0)
        abort();
}

static void shown_to_raw(const char *shown)
{
    char raw[HUSH_NAME_MAX + 1], again[HUSH_NAME_MAX + 1], version[HUSH_VERSION_MAX + 1];

    if (hush_name_raw(shown, raw) &&
        (hush_name_show(raw, strlen(raw), again) == 0 || strcmp(again, shown) != 0))
        abort();
    if (hush_name_split_version(shown, raw, version) &&
        (raw[0] == '\0' || version[0] == '\0' ||
         strlen(raw) + 1 + strlen(version) != strlen(shown)))
        abort();
}

static void paths(const char *text)
{
    char one[4 * HUSH_PATH_MAX], two[4 * HUSH_PATH_MAX];

    if (hush_path_show(text, one, sizeof(one)) &&
        (!hush_path_raw(one, two, sizeof(two)) || strcmp(two, text) != 0))
        abort();
    if (hush_path_raw(text, one, sizeof(one)) &&
        (!hush_path_show(one, two, sizeof(two)) || strcmp(two, text) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    raw_to_shown(text, size);
    shown_to_raw(text);
    paths(text);
    free(text);
    return 0;
}
