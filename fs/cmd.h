/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd.h - what the subcommands of `hushfs` share. Each is one function in a cmd_*.c and one row of
 * the table in main.c. One thread; errors go to standard error as "hushfs: …", answers to standard
 * output and nothing else does.
 */
#ifndef HUSH_CMD_H
#define HUSH_CMD_H

#include "config.h"

#include <limits.h>
#include <stdbool.h>

/* Exit status, the same for every subcommand. */
enum {
    HUSH_CMD_DONE = 0,
    HUSH_CMD_FAILED = 1,
    HUSH_CMD_USAGE = 2,
    HUSH_CMD_CONFIG = 3,
    HUSH_CMD_NOT_FOUND = 4,
    HUSH_CMD_DENIED = 5,
    HUSH_CMD_UNAVAILABLE = 6, /* or timed out */
};

/* The options of all subcommands; a command's row says which are its own. */
struct hush_args {
    const char *config;     /* -c; NULL: not given */
    const char *options;    /* -o */
    const char *log;        /* --log */
    const char *mountpoint; /* -m */
    int emit_fd;            /* --emit-fd; -1: not given */
    bool foreground, lazy, json, dump, keys, no_newline;
    char **names; /* what is no option */
    int count;
};

struct hush_command {
    const char *name;
    const char *usage;   /* behind the name */
    const char *summary; /* one line */
    const char *help;    /* the rest of --help, whole lines */
    const char *letters; /* its options, see args.c */
    int least, most;     /* names; most < 0: any number */
    int (*run)(const struct hush_args *args);
    int (*own)(int argc, char **argv); /* instead of run: it reads its arguments by itself */
};

/* Where an option goes: a flag, or its text. */
struct hush_arg {
    int letter;
    bool *flag;
    const char **text;
};

struct option;

/* How options are written, for getopt_long(3), and who takes them. */
struct hush_syntax {
    const char *letters; /* begins with ':' */
    const struct option *words;
    /* NULL, or what is wrong with it, as hush_args_fail() says it. */
    const char *(*set)(void *ctx, int letter, const char *text);
};

/* Give each option to syntax->set; optind is behind them then. False: as hush_args_parse(). */
bool hush_args_options(const struct hush_command *command, const struct hush_syntax *syntax,
                       int argc, char **argv, void *ctx, int *status);
/* Set what the row for letter says. False: there is none. */
bool hush_args_set(const struct hush_arg *rows, size_t count, int letter, const char *text);
/* DONE, or said: there are too few or too many names. */
int hush_args_count(const struct hush_command *command, char **names, int count);
/* "hushfs NAME: WHATWHICH", and how it is used. USAGE. */
int hush_args_fail(const struct hush_command *command, const char *what, const char *which);

/* Read argv, whose [0] is the command's name. False: *status is the exit status (--help is DONE).
 */
bool hush_args_parse(const struct hush_command *command, int argc, char **argv,
                     struct hush_args *args, int *status);
void hush_command_help(const struct hush_command *command);

/* Say "hushfs: …" and return status. %m works. */
__attribute__((format(printf, 2, 3))) int hush_cmd_fail(int status, const char *fmt, ...);

/* A value to standard output, with a newline after it on a terminal unless no_newline or it has
 * one. The exit status. */
int hush_cmd_print_secret(const struct hush_secret *secret, bool no_newline);

/*
 * The arena of a command: of most bytes, or of as many as can be locked when there is to be room
 * for a key, too. After whatever else the command locks. NULL, and said, if that is next to
 * nothing.
 */
struct hush_arena *hush_cmd_arena(size_t most);
/* Say that too little memory can be locked. The exit status. */
int hush_cmd_memory_fail(void);
/* What to add to op's detail: "", or how to get more room if it was too little for a value. */
const char *hush_cmd_memory_hint(const struct hush_op *op);

/* The exit status for an outcome. */
int hush_cmd_status(enum hush_status status);

/* For hush_config_load(): "FILE:LINE: TEXT" to standard error. */
void hush_cmd_config_error(void *ctx, const char *file, unsigned line, const char *text);

/* The same for what is no file: "hushfs: FILE: TEXT". */
void hush_cmd_line_error(void *ctx, const char *file, unsigned line, const char *text);

struct hush_mounts;

/* The mount that the user calls name, as mounts spells it, in out. DONE, or said: there is none, or
 * name is something else. */
int hush_cmd_find_mount(const struct hush_mounts *mounts, const char *name, char out[PATH_MAX]);

/* Say that path, a file of .hushfs, cannot be opened (errno), and for whom it is. The exit status.
 */
int hush_cmd_fail_control(const char *path);

/* No core dump, no reader of /proc/PID/mem: call before there is a secret in the process. */
void hush_cmd_protect(void);

/* The keys of [mount] that a command line gives, as hush_config_load_over() takes them. error and
 * ctx are the caller's: who is told what is wrong, with line 0. */
struct hush_mount_keys {
    hush_config_error_fn *error;
    void *ctx;
    struct hush_pair *list; /* NULL at first */
    size_t count;
};

/* Those of -o, and path if there is a mount point. DONE, or said: the exit status. */
int hush_mount_keys_find(struct hush_mount_keys *keys, const struct hush_args *args);
void hush_mount_keys_done(struct hush_mount_keys *keys);

int hush_cmd_mount(const struct hush_args *args);
int hush_cmd_umount(const struct hush_args *args);
int hush_cmd_check(const struct hush_args *args);
int hush_cmd_get(const struct hush_args *args);
int hush_cmd_status_show(const struct hush_args *args);
int hush_cmd_refresh(const struct hush_args *args);
int hush_cmd_reload(const struct hush_args *args);
int hush_cmd_providers(const struct hush_args *args);
int hush_cmd_store(int argc, char **argv);

#endif
