/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option.c - option tables: text to fields and back. config.c and `hushfs providers` call it.
 *
 * Error texts never repeat the value: it may be a password in the wrong place.
 */
#include "option.h"

#include "url.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_ERROR_MAX = 160 };

/* NULL: out was set; else what the value must be. */
typedef const char *option_parser(const struct hush_option *row, const char *text, void *out);
typedef void option_printer(const struct hush_option *row, const void *field, char *buf,
                            size_t size);

/* Replace a string; text NULL: by none. */
static const char *option_keep(const char *text, void *out)
{
    char **field = out;
    char *copy = text == NULL ? NULL : strdup(text);

    if (text != NULL && copy == NULL)
        return "could not be kept: out of memory";
    free(*field);
    *field = copy;
    return NULL;
}

/* "" takes an optional string back to unset, which is how hush_option_text() writes that. */
static bool option_is_unset(const struct hush_option *row, const char *text)
{
    return *text == '\0' && row->fallback != NULL && *row->fallback == '\0';
}

static const char *parse_string(const struct hush_option *row, const char *text, void *out)
{
    return option_keep(option_is_unset(row, text) ? NULL : text, out);
}

static const char *parse_url(const struct hush_option *row, const char *text, void *out)
{
    const char *fault;

    if (option_is_unset(row, text))
        return option_keep(NULL, out);
    fault = hush_url_fault(text);
    return fault != NULL ? fault : option_keep(text, out);
}

static const char *parse_path(const struct hush_option *row, const char *text, void *out)
{
    if (option_is_unset(row, text))
        return option_keep(NULL, out);
    if (*text != '/')
        return "must be an absolute path";
    if (strlen(text) >= PATH_MAX)
        return "must be a path of at most 4095 bytes";
    return option_keep(text, out);
}

/* A name is looked up in $CREDENTIALS_DIRECTORY, by whoever reads the file. */
static const char *parse_secret_file(const struct hush_option *row, const char *text, void *out)
{
    if (*text == '/' || option_is_unset(row, text))
        return parse_path(row, text, out);
    if (*text == '\0' || strchr(text, '/') != NULL || strcmp(text, ".") == 0 ||
        strcmp(text, "..") == 0 || strlen(text) > NAME_MAX)
        return "must be an absolute path, or the name of a systemd credential";
    return option_keep(text, out);
}

static const char *parse_yes_no(const struct hush_option *row, const char *text, void *out)
{
    (void)row; /* the same for all */
    return hush_parse_bool(text, out) ? NULL : "must be yes or no";
}

static const char *parse_count(const struct hush_option *row, const char *text, void *out)
{
    uint64_t value;

    (void)row; /* the same for all */
    if (!hush_parse_u64(text, UINT32_MAX, &value))
        return "must be a decimal number, at most 4294967295";
    *(uint32_t *)out = (uint32_t)value;
    return NULL;
}

static const char *parse_bytes(const struct hush_option *row, const char *text, void *out)
{
    (void)row; /* the same for all */
    return hush_parse_size(text, out) ? NULL
                                      : "must be a number of bytes, such as 4096, 64k, 16M or 1G";
}

static const char *parse_duration(const struct hush_option *row, const char *text, void *out)
{
    (void)row; /* the same for all */
    return hush_parse_duration_ms(text, out)
               ? NULL
               : "must be a duration such as 300, 500ms, 30s, 5m, 2h or 1d, at most 49d";
}

static const char *parse_octal(const struct hush_option *row, const char *text, void *out)
{
    (void)row; /* the same for all */
    return hush_parse_mode(text, out) ? NULL : "must be octal, at most 0777";
}

static const char *parse_choice(const struct hush_option *row, const char *text, void *out)
{
    for (uint32_t i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            *(uint32_t *)out = i;
            return NULL;
        }
    }
    return "must be one of"; /* hush_option_set() appends them */
}

/* Room for one entry of the user or group database, however long it is. */
enum { OPTION_NSS_MIN = 1024, OPTION_NSS_MAX = 1 << 20 };

static int option_find_user(const char *name, char *buf, size_t size, uint32_t *out)
{
    struct passwd entry, *found = NULL;
    int err = getpwnam_r(name, &entry, buf, size, &found);

    if (found != NULL)
        *out = entry.pw_uid;
    return found != NULL ? 0 : err == ERANGE ? ERANGE : ENOENT;
}

static int option_find_group(const char *name, char *buf, size_t size, uint32_t *out)
{
    struct group entry, *found = NULL;
    int err = getgrnam_r(name, &entry, buf, size, &found);

    if (found != NULL)
        *out = entry.gr_gid;
    return found != NULL ? 0 : err == ERANGE ? ERANGE : ENOENT;
}

static bool option_id(const char *text,
                      int (*find)(const char *name, char *buf, size_t size, uint32_t *out),
                      uint32_t *out)
{
    uint64_t number;
    int err = ERANGE;

    if (hush_parse_u64(text, UINT32_MAX - 1, &number)) { /* -1 means "leave as it is" to chown(2) */
        *out = (uint32_t)number;
        return true;
    }
    if (*text == '\0' || (*text >= '0' && *text <= '9'))
        return false;
    for (size_t size = OPTION_NSS_MIN; err == ERANGE && size <= OPTION_NSS_MAX; size *= 4) {
        char *buf = malloc(size);

        if (buf == NULL)
            return false;
        err = find(text, buf, size, out);
        free(buf);
    }
    return err == 0;
}

static const char *parse_user(const struct hush_option *row, const char *text, void *out)
{
    (void)row; /* the same for all */
    return option_id(text, option_find_user, out) ? NULL
                                                  : "must be a user of this system, or a uid";
}

static const char *parse_group(const struct hush_option *row, const char *text, void *out)
{
    (void)row; /* the same for all */
    return option_id(text, option_find_group, out) ? NULL
                                                   : "must be a group of this system, or a gid";
}

static void print_string(const struct hush_option *row, const void *field, char *buf, size_t size)
{
    const char *text = *(char *const *)field;

    (void)row; /* the same for all */
    (void)snprintf(buf, size, "%s", text == NULL ? "" : text);
}

static void print_yes_no(const struct hush_option *row, const void *field, char *buf, size_t size)
{
    (void)row; /* the same for all */
    (void)snprintf(buf, size, "%s", *(const bool *)field ? "yes" : "no");
}

static void print_number(const struct hush_option *row, const void *field, char *buf, size_t size)
{
    (void)row; /* the same for all */
    (void)snprintf(buf, size, "%" PRIu32, *(const uint32_t *)field);
}

/* In the largest unit that leaves no rest. */
static void print_scaled(uint64_t value, const uint64_t *factors, const char *const *units,
                         char *buf, size_t size)
{
    size_t i = 0;

    while (factors[i] > 1 && (value == 0 || value % factors[i] != 0))
        i++;
    (void)snprintf(buf, size, "%" PRIu64 "%s", value / factors[i], units[i]);
}

static void print_bytes(const struct hush_option *row, const void *field, char *buf, size_t size)
{
    static const uint64_t factors[] = {1 << 30, 1 << 20, 1 << 10, 1};
    static const char *const units[] = {"G", "M", "k", ""};

    (void)row; /* the same for all */
    print_scaled(*(const uint64_t *)field, factors, units, buf, size);
}

static void print_duration(const struct hush_option *row, const void *field, char *buf, size_t size)
{
    static const uint64_t factors[] = {86400000, 3600000, 60000, 1000, 1};
    static const char *const units[] = {"d", "h", "m", "s", "ms"};
    const uint32_t value_ms = *(const uint32_t *)field;

    (void)row; /* the same for all */
    if (value_ms == 0)
        (void)snprintf(buf, size, "0");
    else
        print_scaled(value_ms, factors, units, buf, size);
}

static void print_octal(const struct hush_option *row, const void *field, char *buf, size_t size)
{
    (void)row; /* the same for all */
    (void)snprintf(buf, size, "%04" PRIo32, *(const uint32_t *)field);
}

static void print_choice(const struct hush_option *row, const void *field, char *buf, size_t size)
{
    const uint32_t index = *(const uint32_t *)field;
    uint32_t count = 0;

    while (row->choices[count] != NULL)
        count++;
    (void)snprintf(buf, size, "%s", index < count ? row->choices[index] : "");
}

/* clang-format off */
static const struct option_kind {
    const char *text;
    option_parser *parse;
    option_printer *print;
    bool owns; /* a char * to free */
} option_kinds[] = {
    [HUSH_OPT_STRING]      = {"text",      parse_string,   print_string,   true},
    [HUSH_OPT_BOOL]        = {"yes or no", parse_yes_no,   print_yes_no,   false},
    [HUSH_OPT_COUNT]       = {"number",    parse_count,    print_number,   false},
    [HUSH_OPT_SIZE]        = {"size",      parse_bytes,    print_bytes,    false},
    [HUSH_OPT_DURATION]    = {"duration",  parse_duration, print_duration, false},
    [HUSH_OPT_MODE]        = {"mode",      parse_octal,    print_octal,    false},
    [HUSH_OPT_CHOICE]      = {"choice",    parse_choice,   print_choice,   false},
    [HUSH_OPT_URL]         = {"URL",       parse_url,      print_string,   true},
    [HUSH_OPT_PATH]        = {"path",      parse_path,     print_string,   true},
    [HUSH_OPT_SECRET_FILE] = {"path",      parse_secret_file, print_string, true},
    [HUSH_OPT_USER]        = {"user",      parse_user,     print_number,   false},
    [HUSH_OPT_GROUP]       = {"group",     parse_group,    print_number,   false},
};
/* clang-format on */

const struct hush_option *hush_option_find(const struct hush_option *table, const char *name)
{
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

/* "'as' must be one of file, directory" */
static void option_explain(const struct hush_option *row, const char *fault, char *error)
{
    int used = snprintf(error, OPTION_ERROR_MAX, "'%s' %s", row->name, fault);

    if (row->type != HUSH_OPT_CHOICE)
        return;
    for (uint32_t i = 0; row->choices[i] != NULL && used > 0 && used < OPTION_ERROR_MAX; i++)
        used += snprintf(error + used, (size_t)(OPTION_ERROR_MAX - used), "%s %s",
                         i == 0 ? "" : ",", row->choices[i]);
}

bool hush_option_set(const struct hush_option *row, void *base, const char *text, char error[160])
{
    const char *fault = option_kinds[row->type].parse(row, text, (char *)base + row->offset);

    if (fault == NULL)
        return true;
    option_explain(row, fault, error);
    return false;
}

bool hush_options_init(const struct hush_option *table, void *base)
{
    char error[OPTION_ERROR_MAX];

    for (; table->name != NULL; table++)
        if (table->fallback != NULL && *table->fallback != '\0' &&
            !hush_option_set(table, base, table->fallback, error))
            return false;
    return true;
}

void hush_options_free(const struct hush_option *table, void *base)
{
    for (; table->name != NULL; table++) {
        char **field = (char **)(void *)((char *)base + table->offset);

        if (!option_kinds[table->type].owns)
            continue;
        free(*field);
        *field = NULL;
    }
}

char *hush_option_text(const struct hush_option *row, const void *base, char *buf, size_t size)
{
    option_kinds[row->type].print(row, (const char *)base + row->offset, buf, size);
    return buf;
}

const char *hush_option_type_text(enum hush_option_type type)
{
    return option_kinds[type].text;
}
