/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store.h - what the parts of `hushfs store` share. The store itself: sealed/reader.h and
 * sealed/store.h; here are its options, where values come from, and what is printed.
 *
 *     cmd_store.c         the table, options, finding the store
 *     cmd_store_make.c    init, rekey
 *     cmd_store_put.c     put, get, rm
 *     cmd_store_value.c   values: standard input, a prompt, a file, new ones
 *     cmd_store_ls.c      ls
 *     cmd_store_import.c  import
 *
 * One thread. Values are in locked memory.
 */
#ifndef HUSH_CMD_STORE_H
#define HUSH_CMD_STORE_H

#include "cmd.h"
#include "sealed/store.h"

#define HUSH_STORE_DEFAULT "/var/lib/hushfs/store"

enum { HUSH_STORE_TIMEOUT_MS = 30000 /* for another writer to end */ };

/* The options of all its subcommands. */
struct hush_store_args {
    const char *config, *instance, *store, *key_file, *passphrase_file; /* NULL: not given */
    const char *behind; /* what follows a bare --generate and was not taken for it */
    const char *file, *generate, *owner, *new_passphrase_file, *prefix;
    uint32_t keep; /* 0: not given */
    bool all, allow_empty, as_json, existing_key, long_list, no_newline, purge, strip;
    char **names;
    int count;
};

/* One run of a subcommand. */
struct hush_store_run {
    const struct hush_store_args *args;
    struct hush_config *config;  /* NULL: none */
    struct sealed_source source; /* borrowed from args or config */
    uint32_t keep;               /* 0: as the store says */
    struct hush_arena *arena;
    struct hush_op op; /* of the last call; detail is why it failed */
};

int hush_store_init(struct hush_store_run *run);
int hush_store_rekey(struct hush_store_run *run);
int hush_store_put(struct hush_store_run *run);
int hush_store_get(struct hush_store_run *run);
int hush_store_rm(struct hush_store_run *run);
int hush_store_ls(struct hush_store_run *run);
int hush_store_import(struct hush_store_run *run);

/* Say why a call failed, and the exit status: 5 if no key opens the store. what: NULL or a name. */
int hush_store_fail(const struct hush_store_run *run, enum hush_status status, const char *what);

/* Open the store for writing. The exit status; said if it is not HUSH_CMD_DONE. */
int hush_store_open(struct hush_store_run *run, struct sealed_store **out);

/* Can it be the name of a secret, or of a folder? The exit status; said if it is not DONE. */
int hush_store_check_name(const char *name);

/* NAME#N into a name and a number, 0 if there is none. The literal name comes first: it is what is
 * meant if index has it. name has HUSH_PATH_MAX + 1 bytes. False: too long. */
bool hush_store_split(const struct sealed_index *index, const char *text, char *name,
                      uint64_t *number);

/* The value that the options of `put` mean; *out is owned. The exit status. */
int hush_store_value(struct hush_store_run *run, struct hush_secret **out);

/* All of fd, at most max bytes; what is its name in messages. The exit status. */
int hush_store_read(struct hush_store_run *run, int fd, const char *what, size_t max,
                    struct hush_secret **out);

/* Without the newline at its end, if it has one. */
void hush_store_strip(struct hush_secret *value);

/* A bar on standard error, if that is a terminal. */
void hush_store_progress(const char *what, size_t done, size_t all);

#endif
