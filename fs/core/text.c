/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - growing text and a JSON writer on it. The worker's control files and the command line
 * write with it.
 */
#include "text.h"

#include "wipealloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_ROOM_MIN = 256 };

void hush_text_init(struct hush_text *text, size_t max)
{
    *text = (struct hush_text){.max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4};
}

void hush_text_done(struct hush_text *text)
{
    if (text == NULL)
        return;
    hush_wipe_free(text->bytes);
    *text = (struct hush_text){0};
}

const char *hush_text_string(const struct hush_text *text)
{
    return text->bytes == NULL ? "" : text->bytes;
}

/* Make room for size more bytes and the NUL. */
static bool text_grow(struct hush_text *text, size_t size)
{
    size_t room = text->room < TEXT_ROOM_MIN ? TEXT_ROOM_MIN : text->room;
    char *bytes;

    if (text->failed || size > text->max - text->size) {
        text->failed = true;
        return false;
    }
    if (text->size + size < text->room)
        return true;
    while (room <= text->size + size)
        room *= 2;
    bytes = hush_wipe_realloc(text->bytes, room);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->room = room;
    return true;
}

void hush_text_append(struct hush_text *text, const void *bytes, size_t size)
{
    if (!text_grow(text, size))
        return;
    if (size != 0)
        memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

void hush_text_puts(struct hush_text *text, const char *string)
{
    hush_text_append(text, string, strlen(string));
}

void hush_text_printf(struct hush_text *text, const char *fmt, ...)
{
    va_list args;
    int size;

    va_start(args, fmt);
    size = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (size < 0) {
        text->failed = true;
        return;
    }
    if (!text_grow(text, (size_t)size))
        return;
    va_start(args, fmt);
    (void)vsnprintf(text->bytes + text->size, (size_t)size + 1, fmt, args); /* as measured */
    va_end(args);
    text->size += (size_t)size;
}

/* The second byte may be low..high, those after it 80..bf (RFC 3629: shortest, no surrogates). */
static const struct utf8_row {
    unsigned char first, last; /* of the first byte */
    unsigned char low, high;
    size_t size;
} utf8_rows[] = {
    {0x00, 0x7f, 0x80, 0xbf, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static const struct utf8_row *utf8_find(unsigned char first)
{
    for (size_t i = 0; i < sizeof(utf8_rows) / sizeof(utf8_rows[0]); i++)
        if (first >= utf8_rows[i].first && first <= utf8_rows[i].last)
            return &utf8_rows[i];
    return NULL;
}

/* Bytes of the UTF-8 sequence at p, which has left bytes; 0: it is none. */
static size_t utf8_size(const unsigned char *p, size_t left)
{
    const struct utf8_row *row = utf8_find(p[0]);

    if (row == NULL || row->size > left)
        return 0;
    if (row->size > 1 && (p[1] < row->low || p[1] > row->high))
        return 0;
    for (size_t i = 2; i < row->size; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return row->size;
}

/* How many bytes of p..end-1 stand for themselves in a JSON string. */
static size_t json_plain(const unsigned char *p, const unsigned char *end)
{
    const unsigned char *start = p;

    while (p < end) {
        const size_t step = utf8_size(p, (size_t)(end - p));

        if (step == 0 || *p < 0x20 || *p == 0x7f || *p == '"' || *p == '\\')
            break;
        p += step;
    }
    return (size_t)(p - start);
}

static void json_escape(struct hush_text *text, unsigned char c)
{
    static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *name = c == '\0' ? NULL : strchr(names, c);

    if (name != NULL)
        hush_text_printf(text, "\\%c", letters[name - names]);
    else
        hush_text_printf(text, "\\u%04x", c < 0x80 ? c : 0xfffd);
}

void hush_text_json_string(struct hush_text *text, const char *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes, *end = p + size;

    hush_text_puts(text, "\"");
    while (p < end && !text->failed) {
        const size_t plain = json_plain(p, end);

        hush_text_append(text, p, plain);
        p += plain;
        if (p < end)
            json_escape(text, *p++);
    }
    hush_text_puts(text, "\"");
}

/* The comma, if a value came before, and the key. */
static void json_begin(struct hush_text *text, const char *key)
{
    /* No value ends in one of these, and nothing else does. */
    if (text->size != 0 && strchr("{[:\n", text->bytes[text->size - 1]) == NULL)
        hush_text_puts(text, ",");
    if (key == NULL)
        return;
    hush_text_json_string(text, key, strlen(key));
    hush_text_puts(text, ":");
}

void hush_json_open(struct hush_text *text, const char *key, char kind)
{
    json_begin(text, key);
    hush_text_append(text, &kind, 1);
}

void hush_json_close(struct hush_text *text, char kind)
{
    hush_text_append(text, &kind, 1);
}

void hush_json_string(struct hush_text *text, const char *key, const char *value)
{
    if (value == NULL) {
        hush_json_null(text, key);
        return;
    }
    json_begin(text, key);
    hush_text_json_string(text, value, strlen(value));
}

void hush_json_u64(struct hush_text *text, const char *key, uint64_t value)
{
    json_begin(text, key);
    hush_text_printf(text, "%" PRIu64, value);
}

void hush_json_i64(struct hush_text *text, const char *key, int64_t value)
{
    json_begin(text, key);
    hush_text_printf(text, "%" PRId64, value);
}

void hush_json_bool(struct hush_text *text, const char *key, bool value)
{
    hush_json_raw(text, key, value ? "true" : "false");
}

void hush_json_raw(struct hush_text *text, const char *key, const char *json)
{
    json_begin(text, key);
    hush_text_puts(text, json);
}

void hush_json_null(struct hush_text *text, const char *key)
{
    hush_json_raw(text, key, "null");
}
