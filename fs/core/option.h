/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option.h - option tables: one row gives the parser, the default, the "unknown option" message,
 * `hushfs providers TYPE` and the table in the manual page.
 */
#ifndef HUSH_OPTION_H
#define HUSH_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hush_option_type {
    HUSH_OPT_STRING,   /* char *, owned by the instance, freed by hush_options_free() */
    HUSH_OPT_BOOL,     /* bool: yes, no, true, false, on, off, 1, 0 */
    HUSH_OPT_COUNT,    /* uint32_t: decimal */
    HUSH_OPT_SIZE,     /* uint64_t: bytes, with k, M, G (powers of 1024) */
    HUSH_OPT_DURATION, /* uint32_t, milliseconds: "300" (seconds), "500ms", "30s", "5m", "2h", "1d"
                        */
    HUSH_OPT_MODE,     /* uint32_t: octal, at most 0777 */
    HUSH_OPT_CHOICE,   /* uint32_t: index into choices */
    HUSH_OPT_URL,      /* char *: https, or http to a loopback host */
    HUSH_OPT_PATH,     /* char *: an absolute path, not below the mount */
    HUSH_OPT_SECRET_FILE, /* char *: as PATH, or the name of a systemd credential, without '/'; the
                             file's content is a credential, read at each use */
    HUSH_OPT_USER,        /* uint32_t uid: name or number */
    HUSH_OPT_GROUP,       /* uint32_t gid: name or number */
};

/* The last row of a table is all zero. */
struct hush_option {
    const char *name;
    enum hush_option_type type;
    size_t offset;              /* into the struct that is filled in */
    const char *fallback;       /* NULL: required; "": the field stays zero (or NULL) when unset */
    const char *help;           /* one line, lower case, no full stop */
    const char *const *choices; /* CHOICE: NULL-terminated */
};

/* clang-format off */
#define HUSH_OPTION(type, member, kind, fallback, help) \
    { #member, HUSH_OPT_##kind, offsetof(type, member), fallback, help, NULL }
#define HUSH_OPTION_CHOICE(type, member, fallback, help, choices) \
    { #member, HUSH_OPT_CHOICE, offsetof(type, member), fallback, help, choices }
/* clang-format on */

/* The row called name, or NULL. */
const struct hush_option *hush_option_find(const struct hush_option *table, const char *name);

/*
 * Parse text into the field of base that row names (freeing an earlier string). False: *error (at
 * least 160 bytes) says what is wrong and what is allowed, without repeating a secret.
 */
bool hush_option_set(const struct hush_option *row, void *base, const char *text, char error[160]);

/* Fill every row's fallback into base (zeroed memory). False: never, for a well-made table. */
bool hush_options_init(const struct hush_option *table, void *base);

/* Free the strings of base. */
void hush_options_free(const struct hush_option *table, void *base);

/* Write the value of a row as text that hush_option_set() reads back. Returns buf. */
char *hush_option_text(const struct hush_option *row, const void *base, char *buf, size_t size);

const char *hush_option_type_text(enum hush_option_type type); /* "duration", "path", … */

/* The parsers alone; false: text is not one. */
bool hush_parse_u64(const char *text, uint64_t max, uint64_t *out);
bool hush_parse_duration_ms(const char *text, uint32_t *out);
bool hush_parse_size(const char *text, uint64_t *out);
bool hush_parse_bool(const char *text, bool *out);
bool hush_parse_mode(const char *text, uint32_t *out);

#endif
