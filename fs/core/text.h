/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - text that grows up to a maximum, and JSON written into it: .hushfs/status, `--json`.
 *
 *     struct hush_text text;
 *
 *     hush_text_init(&text, 1 << 20);
 *     hush_json_open(&text, NULL, '{');
 *     hush_json_string(&text, "name", name);
 *     hush_json_u64(&text, "age_ms", age_ms);
 *     hush_json_close(&text, '}');
 *     if (text.failed)
 *         return HUSH_NO_MEMORY;
 *
 * Errors stick: once something did not fit, `failed` stays true and nothing more is written, so one
 * check at the end is enough. The buffer is wiped when it grows and when it goes. One thread.
 */
#ifndef HUSH_TEXT_H
#define HUSH_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hush_text {
    char *bytes; /* NUL-terminated; NULL while nothing was written */
    size_t size; /* without the NUL */
    size_t room, max;
    bool failed;
};

void hush_text_init(struct hush_text *text, size_t max);    /* max: bytes, without the NUL */
void hush_text_done(struct hush_text *text);                /* NULL ok */
const char *hush_text_string(const struct hush_text *text); /* never NULL */

void hush_text_append(struct hush_text *text, const void *bytes, size_t size);
void hush_text_puts(struct hush_text *text, const char *string);
__attribute__((format(printf, 2, 3))) void hush_text_printf(struct hush_text *text, const char *fmt,
                                                            ...);

/* size bytes as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD. */
void hush_text_json_string(struct hush_text *text, const char *bytes, size_t size);

/*
 * JSON, a value at a time; commas come by themselves. key: the member's name within an object, NULL
 * within an array and at the top. kind: '{' or '['; close with '}' or ']'.
 */
void hush_json_open(struct hush_text *text, const char *key, char kind);
void hush_json_close(struct hush_text *text, char kind);
void hush_json_string(struct hush_text *text, const char *key, const char *value); /* NULL: null */
void hush_json_u64(struct hush_text *text, const char *key, uint64_t value);
void hush_json_i64(struct hush_text *text, const char *key, int64_t value);
void hush_json_bool(struct hush_text *text, const char *key, bool value);
void hush_json_null(struct hush_text *text, const char *key);
void hush_json_raw(struct hush_text *text, const char *key, const char *json); /* as it is */

#endif
