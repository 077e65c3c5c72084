/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.c - the command line of `hushfs` and what every subcommand says in the same way. main.c and
 * the cmd_*.c call it; `hushfs store` has options of its own, read by the same rules.
 */
#include "cmd.h"
#include "mounts.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* clang-format off */
/* A letter, if it is a capital, is only spelled out on the command line. */
static const struct option long_options[] = {
    {"config",     required_argument, NULL, 'c'},
    {"options",    required_argument, NULL, 'o'},
    {"mountpoint", required_argument, NULL, 'm'},
    {"log",        required_argument, NULL, 'L'},
    {"emit-fd",    required_argument, NULL, 'E'},
    {"foreground", no_argument,       NULL, 'f'},
    {"lazy",       no_argument,       NULL, 'l'},
    {"no-newline", no_argument,       NULL, 'n'},
    {"json",       no_argument,       NULL, 'J'},
    {"dump",       no_argument,       NULL, 'D'},
    {"keys",       no_argument,       NULL, 'K'},
    {"help",       no_argument,       NULL, 'h'},
    {0},
};
/* clang-format on */

static const char short_options[] = ":c:o:m:flnh";

int hush_cmd_fail(int status, const char *fmt, ...)
{
    const int err = errno;
    va_list args;

    (void)fflush(stdout);
    (void)fputs("hushfs: ", stderr); /* whom could we tell that this failed? */
    va_start(args, fmt);
    errno = err;
    (void)vfprintf(stderr, fmt, args); // NOLINT(clang-analyzer-valist.Uninitialized): it is started
    va_end(args);
    (void)fputc('\n', stderr);
    return status;
}

int hush_cmd_status(enum hush_status status)
{
    static const int codes[HUSH_STATUS_COUNT] = {
        [HUSH_OK] = HUSH_CMD_DONE,
        [HUSH_NOT_FOUND] = HUSH_CMD_NOT_FOUND,
        [HUSH_DENIED] = HUSH_CMD_DENIED,
        [HUSH_AUTH] = HUSH_CMD_UNAVAILABLE,
        [HUSH_CONFIG] = HUSH_CMD_CONFIG,
        [HUSH_UNSUPPORTED] = HUSH_CMD_FAILED,
        [HUSH_TOO_LARGE] = HUSH_CMD_FAILED,
        [HUSH_THROTTLED] = HUSH_CMD_UNAVAILABLE,
        [HUSH_UNAVAILABLE] = HUSH_CMD_UNAVAILABLE,
        [HUSH_BACKEND] = HUSH_CMD_UNAVAILABLE,
        [HUSH_TIMEOUT] = HUSH_CMD_UNAVAILABLE,
        [HUSH_PROTOCOL] = HUSH_CMD_FAILED,
        [HUSH_CANCELED] = HUSH_CMD_FAILED,
        [HUSH_NO_MEMORY] = HUSH_CMD_FAILED,
    };

    return (unsigned)status < HUSH_STATUS_COUNT ? codes[status] : HUSH_CMD_FAILED;
}

void hush_cmd_config_error(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    if (line == 0)
        (void)fprintf(stderr, "%s: %s\n", file, text);
    else
        (void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
}

void hush_cmd_line_error(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    (void)line; /* 0 */
    (void)hush_cmd_fail(0, "%s: %s", file, text);
}

int hush_cmd_find_mount(const struct hush_mounts *mounts, const char *name, char out[PATH_MAX])
{
    if (!hush_mounts_resolve(name, out))
        return hush_cmd_fail(errno == ENOENT || errno == ENOTDIR ? HUSH_CMD_NOT_FOUND
                                                                 : HUSH_CMD_FAILED,
                             "'%s': %m", name);
    if (!hush_mounts_have(mounts, out))
        return hush_cmd_fail(HUSH_CMD_NOT_FOUND, "'%s' is not a hushfs mount%s", out,
                             hush_mounts_find(mounts, out) == NULL ? "" : ", but below one");
    return HUSH_CMD_DONE;
}

int hush_cmd_fail_control(const char *path)
{
    if (errno == EACCES)
        return hush_cmd_fail(HUSH_CMD_DENIED, "'%s': %m: it is for root and the owner of [mount]",
                             path);
    return hush_cmd_fail(HUSH_CMD_FAILED, "'%s': %m", path);
}

void hush_cmd_protect(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none); /* lowering is always allowed */
#ifndef HUSH_SANITIZED                   /* the leak sanitizer traces its own process */
    (void)prctl(PR_SET_DUMPABLE, 0);     /* cannot fail with 0 */
#endif
}

void hush_command_help(const struct hush_command *command)
{
    (void)printf("usage: hushfs %s %s\n\n%s\n%s%s", command->name, command->usage, command->summary,
                 command->help[0] == '\0' ? "" : "\n", command->help);
}

int hush_args_fail(const struct hush_command *command, const char *what, const char *which)
{
    (void)fprintf(stderr, "hushfs %s: %s%s\nusage: hushfs %s %s\n", command->name, what, which,
                  command->name, command->usage);
    return HUSH_CMD_USAGE;
}

bool hush_args_set(const struct hush_arg *rows, size_t count, int letter, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].letter != letter)
            continue;
        if (rows[i].flag != NULL)
            *rows[i].flag = true;
        else
            *rows[i].text = text;
        return true;
    }
    return false;
}

/* Take an option. NULL, or what is to be said of it. */
static const char *option_take(const struct hush_command *command, const struct hush_syntax *syntax,
                               void *ctx, int letter)
{
    if (letter == ':')
        return "an argument is missing after ";
    if (letter == '?' || strchr(command->letters, letter) == NULL)
        return "it has no such option: ";
    return syntax->set(ctx, letter, optarg);
}

bool hush_args_options(const struct hush_command *command, const struct hush_syntax *syntax,
                       int argc, char **argv, void *ctx, int *status)
{
    int letter;

    optind = 0; /* begin anew: it may have been used */
    while ((letter = getopt_long(argc, argv, syntax->letters, syntax->words, NULL)) != -1) {
        const char *given = argv[optind - 1];
        if (letter == 'h') {
            hush_command_help(command);
            *status = HUSH_CMD_DONE;
            return false;
        }
        const char *fault = option_take(command, syntax, ctx, letter);
        if (fault != NULL) {
            *status = hush_args_fail(command, fault, given);
            return false;
        }
    }
    return true;
}

int hush_args_count(const struct hush_command *command, char **names, int count)
{
    if (count < command->least)
        return hush_args_fail(command, "an argument is missing", "");
    if (command->most >= 0 && count > command->most)
        return hush_args_fail(command, "too many arguments: ", names[command->most]);
    return HUSH_CMD_DONE;
}

static const char *args_set(void *ctx, int letter, const char *text)
{
    struct hush_args *args = ctx;
    const struct hush_arg rows[] = {
        {'c', NULL, &args->config},     {'o', NULL, &args->options},
        {'m', NULL, &args->mountpoint}, {'L', NULL, &args->log},
        {'f', &args->foreground, NULL}, {'l', &args->lazy, NULL},
        {'n', &args->no_newline, NULL}, {'J', &args->json, NULL},
        {'D', &args->dump, NULL},       {'K', &args->keys, NULL},
    };
    uint64_t fd;

    if (hush_args_set(rows, sizeof(rows) / sizeof(rows[0]), letter, text))
        return NULL;
    if (letter != 'E' || !hush_parse_u64(text, INT_MAX, &fd))
        return "this must be a number: ";
    args->emit_fd = (int)fd;
    return NULL;
}

bool hush_args_parse(const struct hush_command *command, int argc, char **argv,
                     struct hush_args *args, int *status)
{
    static const struct hush_syntax syntax = {short_options, long_options, args_set};

    *args = (struct hush_args){.emit_fd = -1};
    if (!hush_args_options(command, &syntax, argc, argv, args, status))
        return false;
    args->names = argv + optind;
    args->count = argc - optind;
    *status = hush_args_count(command, args->names, args->count);
    return *status == HUSH_CMD_DONE;
}
