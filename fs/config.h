/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - /etc/hushfs/hushfs.conf and conf.d/, as structs. Checked whole: every error is
 * reported with file and line, and a configuration with an error is none. What was read can be
 * written again as one text that reads back the same; that text is what the keeper hands to each
 * worker, so that what was checked is what runs.
 *
 *     [section]         alone on its line; no section and no key twice, not even in two files
 *     key = value       blanks around both are dropped; the rest of the line is the value, as it is
 *     # comment         or ; as the first character of a line that is not a blank
 *
 * Nothing here opens a provider or talks to anybody.
 */
#ifndef HUSH_CONFIG_H
#define HUSH_CONFIG_H

#include "provider.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define HUSH_CONFIG_FILE "/etc/hushfs/hushfs.conf"

enum hush_as { HUSH_AS_DEFAULT, HUSH_AS_FILE, HUSH_AS_DIRECTORY };
enum hush_open_mode { HUSH_OPEN_CHECKED, HUSH_OPEN_KERNEL };

/* What can be said of any path: for an instance, and key by key by a [path/GLOB]. */
struct hush_settings {
    uint32_t ttl_ms;           /* 300 s */
    uint32_t neg_ttl_ms;       /* 5 s */
    uint32_t resurrect_ttl_ms; /* 3600 s */
    uint32_t as;       /* enum hush_as; never DEFAULT in what hush_config_settings() gives */
    uint32_t owner;    /* uid: 0 */
    uint32_t group;    /* gid: 0 */
    uint32_t mode;     /* of files: 0400 */
    uint32_t dir_mode; /* of directories: 0751; their owner is always the worker's user, with rwx */
    bool page_cache;   /* yes; no: FOPEN_DIRECT_IO */
};

struct hush_mount_config {
    char *path;            /* mount point; absolute */
    char *user;            /* who the worker and the mover run as: "hushfs" */
    bool allow_other;      /* yes */
    uint32_t owner, group; /* of .hushfs; the group of the top directory, too */
    uint32_t mode;         /* of the top directory: 0755 */
    uint32_t deadline_ms;  /* 5 s; at most 10 s */
    uint32_t open;         /* enum hush_open_mode */
    uint64_t memory;       /* of the arena, bytes; 0: as much of RLIMIT_MEMLOCK as is sensible */
};

struct hush_pair {
    char *key, *value;
};

struct hush_instance_config {
    char *name;
    const struct hush_provider_ops *ops;
    struct hush_settings settings;
    bool base64_decode;
    uint32_t concurrency;      /* 4: calls at once */
    uint32_t timeout_ms;       /* of one call to the backend; default: the mount's deadline */
    bool prefetch;             /* no: fetch all listed secrets at start */
    struct hush_pair *options; /* the type's own, checked against its table, as text */
    size_t option_count;
    char *file; /* where the section stands, for messages */
    unsigned line;
};

/* [path/GLOB]: glob is INSTANCE/REST; `*` and `?` stay within a path component, `**` does not. */
struct hush_rule {
    char *glob;
    struct hush_settings settings;
    unsigned set;             /* bit i: row i of the settings table was given */
    struct hush_pair *params; /* param.X = … */
    size_t param_count;
    char *file;
    unsigned line;
};

struct hush_config {
    struct hush_mount_config mount;
    struct hush_instance_config *instances; /* sorted by name */
    size_t instance_count;
    struct hush_rule *rules; /* the most specific last */
    size_t rule_count;
};

/* Called for each error, or warning, in the order of the files. line 0: the file as a whole. */
typedef void hush_config_error_fn(void *ctx, const char *file, unsigned line, const char *text);

/*
 * Read path and, if there is a directory conf.d beside it, each NAME.conf there in order of name.
 * NULL after at least one error. Owned by the caller.
 */
struct hush_config *hush_config_load(const char *path, hush_config_error_fn *error, void *ctx);

/* The same, where the command line gives keys of [mount]: they win over the files'. */
struct hush_config *hush_config_load_over(const char *path, const struct hush_pair *mount_keys,
                                          size_t count, hush_config_error_fn *error, void *ctx);

/* The same, and if it is good, with what is hardly meant: options without effect, or what the mount
 * would refuse here and not elsewhere. For `hushfs check`. */
struct hush_config *hush_config_check(const char *path, const struct hush_pair *mount_keys,
                                      size_t count, hush_config_error_fn *error,
                                      hush_config_error_fn *warning, void *ctx);

/*
 * From a text, as hush_config_write() makes it (or a fuzzer). name is for messages. Nothing of the
 * host is looked at (users, symbolic links), as a worker must not wait for it.
 */
struct hush_config *hush_config_parse(const char *text, size_t size, const char *name,
                                      hush_config_error_fn *error, void *ctx);

void hush_config_free(struct hush_config *config); /* NULL ok */

/* What is no error but hardly meant, told as errors are: keys of a field that only its secret can
 * have. */
void hush_config_warn(const struct hush_config *config, hush_config_error_fn *warn, void *ctx);

/* What is in force, as a configuration that reads back the same. False: write error (errno). */
bool hush_config_write(const struct hush_config *config, FILE *out);

const struct hush_instance_config *hush_config_instance(const struct hush_config *config,
                                                        const char *name); /* NULL: none */

/*
 * What holds for a path below the mount (INSTANCE/…, as shown, without the mount point): the
 * instance's settings, each key replaced by the most specific rule that gives it. More specific:
 * more literal characters before the first wildcard, then more literal characters, then later in
 * the files. NAME#VERSION and NAME/.value are matched by rules for NAME, too; of a rule for NAME
 * and one for just the longer name, the latter is the more specific.
 */
void hush_config_settings(const struct hush_config *config,
                          const struct hush_instance_config *instance, const char *path,
                          struct hush_settings *out);

/*
 * The same for a field of the secret at path, as it is shown: rules that match either the secret or
 * the field count, the most specific first. True: one that matches the field alone says who may
 * have it.
 */
bool hush_config_field_settings(const struct hush_config *config,
                                const struct hush_instance_config *instance, const char *path,
                                const char *field, struct hush_settings *out);

/*
 * The same for all of the secret at path in one file: name is ".json" or ".value" in its directory,
 * NULL: the secret is the file. No more open than rules for just .json or .value of it say. Where
 * it is a file though it is to be a directory, rules for whatever field leave it to root alone;
 * where the fields are known, it is the caller's to restrict .json to what each with a rule of its
 * own allows.
 */
void hush_config_whole_settings(const struct hush_config *config,
                                const struct hush_instance_config *instance, const char *path,
                                const char *name, struct hush_settings *out);

/* Take from who may have whole all who may not have part, whoever they are; owner and group stay.
 */
void hush_settings_restrict(struct hush_settings *whole, const struct hush_settings *part);

/* Is there a rule for who may have something in the secret at path, and not just for all of it? */
bool hush_config_has_field_rules(const struct hush_config *config, const char *path);

/* Is this a key of the settings that a field can have for itself? All others are its secret's,
 * which is fetched as one. */
bool hush_config_is_access(const char *key);

/* param.X for a path: NULL-name terminated, borrowed from config, freed with free(); NULL: none. */
struct hush_param *hush_config_params(const struct hush_config *config, const char *path);

/* Does path match glob? See struct hush_rule. Pure. */
bool hush_glob_match(const char *glob, const char *path);

/* The options of a mount, an instance and a path rule, for --help, `hushfs providers`, manuals. */
extern const struct hush_option hush_mount_options[];
extern const struct hush_option hush_instance_options[]; /* less the settings */
extern const struct hush_option hush_settings_options[]; /* of struct hush_settings */

#endif
