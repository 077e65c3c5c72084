/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the program `hushfs`: finds the subcommand in the table and runs it.
 */
#include "cmd.h"
#include "core/wipealloc.h"
#include "shared/http.h"
#include "shared/json.h"

#include <errno.h>
#include <string.h>

/* clang-format off */
static const struct hush_command commands[] = {
    {"mount", "[-c FILE] [-f] [-o OPTIONS] [--log FILE] [MOUNTPOINT]",
     "Mount, and return when the mount answers.",
     "  -c, --config FILE      the configuration (" HUSH_CONFIG_FILE ")\n"
     "  -f, --foreground       stay in the foreground, log to standard error\n"
     "  -o, --options OPTIONS  KEY=VALUE of [mount], and what mount(8) has for everybody (nofail, …)\n"
     "      --log FILE         log there and not to syslog\n"
     "  MOUNTPOINT             instead of path in [mount]\n",
     "cfoL", 0, 1, hush_cmd_mount, NULL},
    {"umount", "[-l] MOUNTPOINT",
     "Unmount, and return when all processes of the mount have ended.",
     "  -l, --lazy             also if files are open: unmount now, end when they are closed\n",
     "l", 1, 1, hush_cmd_umount, NULL},
    {"check", "[-c FILE] [-o OPTIONS] [--dump] [--json] [MOUNTPOINT]",
     "Check a configuration: all errors, with file and line.",
     "  -c, --config FILE      the configuration (" HUSH_CONFIG_FILE ")\n"
     "  -o, --options OPTIONS  as for mount, as is MOUNTPOINT\n"
     "      --dump             print what is in force, as a configuration\n"
     "      --json             report in JSON\n",
     "coDJE", 0, 1, hush_cmd_check, NULL},
    {"get", "[-c FILE] [-n] PATH|REFERENCE",
     "Print one value, asked of its backend, without a mount.",
     "  PATH                   INSTANCE/SECRET[/FIELD], as it is shown below a mount\n"
     "  REFERENCE              {vault://INSTANCE|TYPE/NAME[/KEY][?OPTION=VALUE][#VERSION]}\n"
     "  -c, --config FILE      the configuration (" HUSH_CONFIG_FILE ", if there is one)\n"
     "  -n, --no-newline       print no newline at the end on a terminal either\n",
     "cn", 1, 1, hush_cmd_get, NULL},
    {"status", "[--json] [MOUNTPOINT]",
     "Report on one mount, or on all: instances, health, cached secrets. Never a value.",
     "      --json             report in JSON\n",
     "J", 0, 1, hush_cmd_status_show, NULL},
    {"refresh", "[-m MOUNTPOINT] PATH…",
     "Fetch secrets now, shared with whoever else waits for them.",
     "  -m, --mountpoint DIR   what a PATH that does not begin with / is below\n",
     "m", 1, -1, hush_cmd_refresh, NULL},
    {"reload", "[MOUNTPOINT]",
     "Read the configuration again; with an error in it, the old one stays in force.", "",
     "", 0, 1, hush_cmd_reload, NULL},
    {"providers", "[--json] [--keys | TYPE]",
     "List the types of providers, or the options of one.",
     "      --keys             list the keys of [mount], [provider/NAME] and [path/GLOB]\n"
     "      --json             report in JSON\n",
     "JK", 0, 1, hush_cmd_providers, NULL},
    {"store", "init|put|get|ls|rm|rekey|import [OPTION…] [ARGUMENT…]",
     "The sealed local store: secrets in encrypted files.", "", "", 0, -1, NULL, hush_cmd_store},
};
/* clang-format on */

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *out)
{
    (void)fputs("usage: hushfs COMMAND [OPTION…] [ARGUMENT…]\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        (void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    (void)fputs("\n`hushfs COMMAND --help` tells its options, `hushfs --version` the version, "
                "hushfs(8) all "
                "of it.\n"
                "Exit status: 0 done; 1 failed; 2 usage; 3 configuration; 4 not found; 5 refused;\n"
                "6 backend unavailable or timed out.\n",
                out);
}

/* The command that argv begins with. */
static int run_command(int argc, char **argv)
{
    const char *name = argv[0];
    struct hush_args args;
    int status;

    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].own != NULL)
            return commands[i].own(argc, argv);
        if (!hush_args_parse(&commands[i], argc, argv, &args, &status))
            return status;
        return commands[i].run(&args);
    }
    (void)hush_cmd_fail(0, "there is no command '%s'", name);
    print_usage(stderr);
    return HUSH_CMD_USAGE;
}

static int run_version(int argc, char **argv)
{
    if (argc > 1)
        return hush_cmd_fail(HUSH_CMD_USAGE, "%s takes no arguments", argv[0]);
    (void)puts("hushfs " HUSH_VERSION_TEXT);
    return HUSH_CMD_DONE;
}

/* `help COMMAND…` is `COMMAND… --help`. */
static int run_help(int argc, char **argv)
{
    char option[] = "--help";

    if (argc == 1) {
        print_usage(stdout);
        return HUSH_CMD_DONE;
    }
    memmove(argv, argv + 1, (size_t)(argc - 1) * sizeof(*argv));
    argv[argc - 1] = option;
    return run_command(argc, argv);
}

static int run(int argc, char **argv)
{
    static const struct {
        const char *word;
        int (*run)(int argc, char **argv);
    } rows[] = {
        {"--version", run_version}, {"version", run_version}, {"--help", run_help},
        {"-h", run_help},           {"help", run_help},
    };

    if (argc < 2 || argv[1][0] == '\0') {
        print_usage(stderr);
        return HUSH_CMD_USAGE;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].word, argv[1]) == 0)
            return rows[i].run(argc - 1, argv + 1);
    return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    hush_json_init();
    if (!hush_wipe_openssl_init())
        return hush_cmd_fail(HUSH_CMD_FAILED, "OpenSSL was used before its memory could be wiped");
    if (!hush_http_init())
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot clean the environment");
    const int status = run(argc, argv);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return hush_cmd_fail(status == HUSH_CMD_DONE ? HUSH_CMD_FAILED : status,
                             "standard output: %s", errno == 0 ? "write error" : strerror(errno));
    return status;
}
