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

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    struct hush_args args;
    int status;

    if (strcmp(name, "--version") == 0 && argc == 2) {
        (void)puts("hushfs " HUSH_VERSION_TEXT);
        return HUSH_CMD_DONE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_usage(stdout);
        return HUSH_CMD_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].own != NULL)
            return commands[i].own(argc - 1, argv + 1);
        if (!hush_args_parse(&commands[i], argc - 1, argv + 1, &args, &status))
            return status;
        return commands[i].run(&args);
    }
    if (name[0] != '\0')
        (void)hush_cmd_fail(0, "there is no command '%s'", name);
    print_usage(stderr);
    return HUSH_CMD_USAGE;
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
