/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_report.c - the errors of a configuration: collected while it is read, told at the end in
 * the order of files and lines, since some are only found when all has been read.
 */
#include "config_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void hush_report_add(struct hush_report *report, const char *file, unsigned line, const char *fmt,
                     ...)
{
    report->count++; /* also where there is no room: the configuration is refused all the same */
    if (report->stored == HUSH_CONFIG_ERRORS_MAX)
        return;
    struct hush_report_line *lines =
        reallocarray(report->lines, report->stored + 1, sizeof(*report->lines));
    if (lines == NULL)
        return;
    report->lines = lines;
    char *text = malloc(HUSH_CONFIG_TEXT_MAX);
    if (text == NULL)
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, HUSH_CONFIG_TEXT_MAX, fmt, args); /* cut, on purpose */
    va_end(args);
    lines[report->stored++] = (struct hush_report_line){.file = file, .line = line, .text = text};
}

static size_t file_order(const struct hush_report *report, const char *file)
{
    size_t i = 0;

    while (i < report->file_count && report->files[i] != file)
        i++;
    return i;
}

static int line_order(const void *a, const void *b, void *ctx)
{
    const struct hush_report_line *one = a, *two = b;
    const size_t first = file_order(ctx, one->file), second = file_order(ctx, two->file);

    if (first != second)
        return first < second ? -1 : 1;
    return one->line < two->line ? -1 : one->line > two->line;
}

bool hush_report_end(struct hush_report *report, hush_config_error_fn *error, void *ctx)
{
    const size_t count = report->count, stored = report->stored;

    if (stored > 0)
        qsort_r(report->lines, stored, sizeof(*report->lines), line_order, report);
    for (size_t i = 0; i < stored; i++) {
        if (error != NULL)
            error(ctx, report->lines[i].file, report->lines[i].line, report->lines[i].text);
        free(report->lines[i].text);
    }
    if (count > stored && error != NULL)
        error(ctx, report->file_count > 0 ? report->files[0] : "", 0,
              stored == 0 ? "out of memory" : "more errors than are told");
    free(report->lines);
    *report = (struct hush_report){.files = report->files, .file_count = report->file_count};
    return count == 0;
}
