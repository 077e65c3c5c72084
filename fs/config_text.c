/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_text.c - text into sections of keys and values (the form: config.h). Whoever reads a
 * configuration comes through here first; nothing in it knows what a key means.
 *
 * Written by hand after libini_config was tried: it merges sections and finds keys without regard
 * to case (globs have case), drops all of a file after its first error where all errors are wanted,
 * ends a value at a NUL, and its list of errors overruns its memory when duplicates are logged.
 */
#include "config_int.h"

#include "core/cleanup.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

struct text {
    struct hush_sections *sections;
    struct hush_section *section; /* being filled; NULL: before the first, or a refused one */
    struct hush_report *report;
    const char *file;
    unsigned line;
    bool skip; /* the section's heading was refused: its keys are not judged */
};

#define text_fail(text, ...)                                                                       \
    hush_report_add((text)->report, (text)->file, (text)->line, __VA_ARGS__)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void trim(const char **begin, const char **end)
{
    while (*begin < *end && is_blank(**begin))
        (*begin)++;
    while (*begin < *end && is_blank((*end)[-1]))
        (*end)--;
}

/* NULL: the bytes of a line are text. */
static const char *line_fault(const char *begin, const char *end)
{
    if (end - begin > HUSH_CONFIG_LINE_MAX)
        return "the line is longer than 64 KiB";
    while (begin < end) {
        const size_t length = hush_utf8_sequence(begin, (size_t)(end - begin));
        if (*begin == '\0')
            return "there is a NUL byte in the line";
        if (length == 0)
            return "the line is not UTF-8";
        if ((unsigned char)*begin < 0x20 && *begin != '\t')
            return "there is a control character in the line";
        begin += length;
    }
    return NULL;
}

static const struct hush_section *sections_find(const struct hush_sections *sections,
                                                const char *head)
{
    for (size_t i = 0; i < sections->count; i++)
        if (strcmp(sections->list[i].head, head) == 0)
            return &sections->list[i];
    return NULL;
}

const struct hush_entry_text *hush_section_entry(const struct hush_section *section,
                                                 const char *key)
{
    for (size_t i = 0; i < section->entry_count; i++)
        if (strcmp(section->entries[i].key, key) == 0)
            return &section->entries[i];
    return NULL;
}

/* [head] */
static void text_head(struct text *text, const char *begin, const char *end)
{
    text->section = NULL;
    text->skip = true;
    if (end[-1] != ']' || end - begin < 3) {
        text_fail(text, "this is no section: one is written [NAME], alone on its line");
        return;
    }
    begin++, end--;
    if (end - begin > HUSH_CONFIG_HEAD_MAX || is_blank(*begin) || is_blank(end[-1])) {
        text_fail(text, "a section's name is at most 4096 bytes, without blanks around it");
        return;
    }
    cleanup_free char *head = strndup(begin, (size_t)(end - begin));
    struct hush_section *list = reallocarray(text->sections->list, text->sections->count + 1,
                                             sizeof(*text->sections->list));
    if (list != NULL)
        text->sections->list = list;
    if (list == NULL || head == NULL) {
        text_fail(text, "out of memory");
        return;
    }
    const struct hush_section *first = sections_find(text->sections, head);
    if (first != NULL) {
        text_fail(text, "duplicate section [%s]: it stands in %s, line %u already", head,
                  first->file, first->line);
        return;
    }
    text->section = &list[text->sections->count++];
    *text->section =
        (struct hush_section){.head = hush_steal(&head), .file = text->file, .line = text->line};
    text->skip = false;
}

static bool key_is_good(const char *begin, const char *end)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

    for (const char *at = begin; at < end; at++)
        if (memchr(good, *at, sizeof(good) - 1) == NULL)
            return false;
    return begin < end;
}

static void section_add(struct text *text, char *key, char *value)
{
    struct hush_section *section = text->section;
    struct hush_entry_text *entries =
        reallocarray(section->entries, section->entry_count + 1, sizeof(*entries));

    if (entries != NULL)
        section->entries = entries;
    if (entries == NULL || key == NULL || value == NULL) {
        free(key);
        free(value);
        text_fail(text, "out of memory");
        return;
    }
    entries[section->entry_count++] =
        (struct hush_entry_text){.key = key, .value = value, .line = text->line};
}

/* key = value */
static void text_key(struct text *text, const char *begin, const char *end)
{
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    const char *key_end = equals, *value = equals;

    if (text->skip)
        return;
    if (text->section == NULL) {
        text_fail(text, "there is no [SECTION] above this line");
        return;
    }
    if (equals == NULL) {
        text_fail(text, "this is neither KEY = VALUE nor a [SECTION] nor a # comment");
        return;
    }
    trim(&begin, &key_end);
    value++;
    trim(&value, &end);
    if (!key_is_good(begin, key_end)) {
        text_fail(text, "a key is made of letters, digits, '_', '.' and '-'");
        return;
    }
    cleanup_free char *name = strndup(begin, (size_t)(key_end - begin));
    const struct hush_entry_text *first =
        name == NULL ? NULL : hush_section_entry(text->section, name);
    if (first != NULL) {
        text_fail(text, "duplicate key '%s': it stands in line %u already", name, first->line);
        return;
    }
    section_add(text, hush_steal(&name), strndup(value, (size_t)(end - value)));
}

static void text_line(struct text *text, const char *begin, const char *end)
{
    if (begin < end && end[-1] == '\r')
        end--;
    const char *fault = line_fault(begin, end);
    trim(&begin, &end);
    if (fault != NULL) {
        text_fail(text, "%s", fault);
        if (begin < end && *begin == '[')
            text->skip = true;
        return;
    }
    if (begin == end || *begin == '#' || *begin == ';')
        return;
    if (*begin == '[')
        text_head(text, begin, end);
    else
        text_key(text, begin, end);
}

void hush_sections_read(struct hush_sections *sections, const char *text, size_t size,
                        const char *file, struct hush_report *report)
{
    struct text state = {.sections = sections, .report = report, .file = file};
    const char *begin = text, *end = text + size;

    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        hush_report_add(report, file, 1,
                        "the file begins with a byte order mark: save it as UTF-8 without one");
        begin += 3;
    }
    while (begin < end) {
        const char *newline = memchr(begin, '\n', (size_t)(end - begin));
        state.line++;
        text_line(&state, begin, newline == NULL ? end : newline);
        begin = newline == NULL ? end : newline + 1;
    }
}

void hush_sections_free(struct hush_sections *sections)
{
    for (size_t i = 0; i < sections->count; i++) {
        struct hush_section *section = &sections->list[i];
        for (size_t j = 0; j < section->entry_count; j++) {
            free(section->entries[j].key);
            free(section->entries[j].value);
        }
        free(section->entries);
        free(section->head);
    }
    free(sections->list);
    *sections = (struct hush_sections){0};
}
