/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manual.c - the build's program `manual`: a manual page's source with the tables that the code
 * has, for scdoc. Lines of the source that stand for a table:
 *
 *     ; options: GROUP    mount, instance, settings, or a type of provider
 *     ; outcomes          status.h
 *     ; metrics           metrics.h
 *
 * Run as `manual IN OUT` by packaging/CMakeLists.txt. Any other line is copied.
 */
#include "call.h"
#include "config.h"
#include "core/cleanup.h"
#include "core/metrics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char options_marker[] = "; options: ";

/* -- Text of scdoc ----------------------------------------------------------------------------- */

/* As it is, whatever scdoc makes of some characters. */
static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\*_[]#~<>`", *text) != NULL)
            (void)fputc('\\', out); /* main() looks at ferror() */
        (void)fputc(*text, out);
    }
}

/* One cell; before: how scdoc aligns it, after: its end. */
static void put_cell(FILE *out, const char *before, const char *text, const char *after)
{
    (void)fputs(before, out); /* main() looks at ferror() */
    put_text(out, text);
    (void)fputs(after, out);
}

/* -- Tables ------------------------------------------------------------------------------------ */

static void put_type(FILE *out, const struct hush_option *row)
{
    if (row->type != HUSH_OPT_CHOICE) {
        put_cell(out, ":  ", hush_option_type_text(row->type), "\n");
        return;
    }
    for (size_t i = 0; row->choices[i] != NULL; i++)
        put_cell(out, i == 0 ? ":  " : ", ", row->choices[i], "");
    (void)fputc('\n', out);
}

static void put_options(FILE *out, const struct hush_option *row)
{
    if (row->name == NULL) {
        (void)fputs("It has no options of its own.\n", out);
        return;
    }
    (void)fputs("[[ *option*\n:[ *type*\n:[ *default*\n:< *meaning*\n", out);
    for (; row->name != NULL; row++) {
        const char *fallback = row->fallback == NULL ? "required" : row->fallback;

        put_cell(out, "|  *", row->name, "*\n");
        put_type(out, row);
        put_cell(out, ":  ", *fallback == '\0' ? "none" : fallback, "\n");
        put_cell(out, ":  ", row->help, "\n");
    }
}

static const char *errno_name(enum hush_status status)
{
    const int err = hush_status_errno(status);

    return err == 0 ? "none" : strerrorname_np(err);
}

static void put_outcomes(FILE *out)
{
    (void)fputs("[[ *outcome*\n:[ *errno*\n:[ *last value served*\n", out);
    for (int i = HUSH_OK + 1; i < HUSH_STATUS_COUNT; i++) {
        const enum hush_status status = (enum hush_status)i;

        put_cell(out, "|  ", hush_status_text(status), "\n");
        put_cell(out, ":  ", errno_name(status), "\n");
        put_cell(out, ":  ", hush_status_keeps_stale(status) ? "yes" : "no", "\n");
    }
}

static void put_metrics(FILE *out)
{
    (void)fputs("[[ *counter*\n:< *what it counts*\n", out);
    for (int i = 0; i < HUSH_METRIC_COUNT; i++) {
        put_cell(out, "|  ", hush_metric_name((enum hush_metric)i), "\n");
        put_cell(out, ":  ", hush_metric_help((enum hush_metric)i), "\n");
    }
}

/* -- Pages ------------------------------------------------------------------------------------- */

/* NULL: there is no such group. */
static const struct hush_option *options_find(const char *group)
{
    const struct {
        const char *name;
        const struct hush_option *table;
    } groups[] = {
        {"mount", hush_mount_options},
        {"instance", hush_instance_options},
        {"settings", hush_settings_options},
    };
    const struct hush_provider_ops *ops = hush_provider_find(group);

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (strcmp(groups[i].name, group) == 0)
            return groups[i].table;
    return ops == NULL ? NULL : ops->options;
}

/* line has no newline. False: it names a table that there is not. */
static bool put_line(FILE *out, const char *line)
{
    const size_t size = sizeof(options_marker) - 1;
    const struct hush_option *table;

    if (strcmp(line, "; outcomes") == 0) {
        put_outcomes(out);
    } else if (strcmp(line, "; metrics") == 0) {
        put_metrics(out);
    } else if (strncmp(line, options_marker, size) == 0) {
        table = options_find(line + size);
        if (table == NULL)
            return false;
        put_options(out, table);
    } else {
        (void)fprintf(out, "%s\n", line);
    }
    return true;
}

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
    va_list args;

    (void)fputs("manual: ", stderr); /* whom could we tell that this failed? */
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args); // NOLINT(clang-analyzer-valist.Uninitialized): it is started
    va_end(args);
    (void)fputc('\n', stderr);
    return EXIT_FAILURE;
}

static int copy(FILE *in, FILE *out, const char *name)
{
    cleanup_free char *line = NULL;
    unsigned number = 0;
    size_t room = 0;

    while (getline(&line, &room, in) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        number++;
        if (!put_line(out, line))
            return fail("%s:%u: there is no table '%s'", name, number, line);
    }
    return ferror(in) == 0 ? EXIT_SUCCESS : fail("%s: %s", name, strerror(errno));
}

int main(int argc, char **argv)
{
    cleanup_file FILE *in = argc == 3 ? fopen(argv[1], "re") : NULL;
    FILE *out;
    int status;

    if (argc != 3)
        return fail("usage: manual IN OUT");
    if (in == NULL)
        return fail("%s: %s", argv[1], strerror(errno));
    out = fopen(argv[2], "we");
    if (out == NULL)
        return fail("%s: %s", argv[2], strerror(errno));
    status = copy(in, out, argv[1]);
    if (ferror(out) != 0 || fclose(out) != 0)
        return fail("%s: cannot be written", argv[2]);
    return status;
}
