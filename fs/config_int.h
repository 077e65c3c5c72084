/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_int.h - what the files of the configuration share, and nobody else.
 *
 *     config_file.c   files, their owners and modes, conf.d       -> text
 *     config_text.c   text                                        -> sections of keys and values
 *     config_read.c   sections                                    -> struct hush_config
 *     config_report.c the errors on the way
 *     config_check.c  what a single value may be; paths below the mount
 *     config_warn.c   what is hardly meant
 *     config_write.c  struct hush_config                          -> text
 *     config.c        the option tables, questions to a configuration, its end
 */
#ifndef HUSH_CONFIG_INT_H
#define HUSH_CONFIG_INT_H

#include "config.h"

enum {
    HUSH_CONFIG_SIZE_MAX = 1 << 20, /* of one file */
    HUSH_CONFIG_LINE_MAX = 64 << 10,
    HUSH_CONFIG_HEAD_MAX = 4096,  /* between [ and ] */
    HUSH_CONFIG_ERRORS_MAX = 200, /* reported; there may be more */
    HUSH_CONFIG_TEXT_MAX = 512,   /* of one error */
};

/* -- Errors: collected, and told in the order of files and lines ------------------------------- */

struct hush_report_line {
    const char *file; /* borrowed */
    unsigned line;
    char *text;
};

struct hush_report {
    const char *const *files; /* their order */
    size_t file_count;
    struct hush_report_line *lines;
    size_t stored;
    size_t count; /* of errors, stored or not */
};

__attribute__((format(printf, 4, 5))) void
hush_report_add(struct hush_report *report, const char *file, unsigned line, const char *fmt, ...);

/* Tell all errors (error NULL: nobody) and free the report. True: there were none. */
bool hush_report_end(struct hush_report *report, hush_config_error_fn *error, void *ctx);

/* -- Text -------------------------------------------------------------------------------------- */

struct hush_entry_text {
    char *key, *value;
    unsigned line;
};

struct hush_section {
    char *head;       /* "provider/prod" */
    const char *file; /* borrowed */
    unsigned line;
    struct hush_entry_text *entries; /* no key twice */
    size_t entry_count;
};

struct hush_sections {
    struct hush_section *list; /* no head twice */
    size_t count;
};

/* Append the sections of text, which was read from file. Errors go to report. */
void hush_sections_read(struct hush_sections *sections, const char *text, size_t size,
                        const char *file, struct hush_report *report);
void hush_sections_free(struct hush_sections *sections);

const struct hush_entry_text *hush_section_entry(const struct hush_section *section,
                                                 const char *key); /* NULL: none */

/* -- Meaning ----------------------------------------------------------------------------------- */

struct hush_reader {
    struct hush_config *config;
    struct hush_report *report;
    struct hush_report *warnings;       /* NULL: nobody asks */
    const struct hush_section *section; /* being read */
    const struct hush_pair *overrides;  /* keys of [mount] from the command line: they win */
    size_t override_count;
    bool host; /* look at users and links of this host; no: the text was checked before */
};

/* A configuration from sections, or NULL with at least one error in the report. warnings NULL: a
 * text that was checked before, so nothing of this host is looked at, either. */
struct hush_config *hush_config_make(const struct hush_sections *sections,
                                     const struct hush_pair *overrides, size_t override_count,
                                     struct hush_report *report, struct hush_report *warnings);

/* What is wrong with a key's value, which was set in base already; NULL: nothing. */
const char *hush_check_mount(const struct hush_reader *reader, const char *key);
const char *hush_check_instance(const struct hush_instance_config *instance, const char *key);
const char *hush_check_settings(const struct hush_settings *settings, const char *key);
const char *hush_check_instance_name(const char *name);
const char *hush_check_glob(const char *glob);
/* What is wrong with a key in a rule for glob; NULL: nothing. */
const char *hush_check_rule_key(const char *glob, const char *key);

/* The warnings: of an instance that is configured as scratch is; of the whole. */
void hush_warn_instance(struct hush_reader *reader, struct hush_provider *scratch);
void hush_warn_mount(struct hush_reader *reader);

/* The uid of a name, or of its digits. False: there is no such user on this host. */
bool hush_check_find_user(const char *name, uid_t *uid);

/* Lower the specificity of a rule's glob to two numbers that compare: see config.h. */
void hush_glob_rank(const char *glob, size_t *prefix, size_t *literals);

#endif
