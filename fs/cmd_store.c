/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store.c - `hushfs store`: its subcommands and options, and which store is meant; see
 * cmd_store.h. main.c calls it.
 */
#include "cmd_store.h"

#include "core/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { ARENA_SIZE = 16 << 20, BAR_WIDTH = 30 };

struct store_command {
    struct hush_command base; /* its own run is none */
    int (*run)(struct hush_store_run *run);
};

/* A command's name is what stands behind `hushfs`. */
#define STORE "store "

/* Which store: options of all of them. */
#define COMMON_LETTERS "ciSYW"
#define COMMON_HELP                                                                                \
    "\nWhich store:\n"                                                                             \
    "      --store DIR        the directory (" HUSH_STORE_DEFAULT ")\n"                            \
    "      --key-file FILE    its key (" SEALED_KEY_DEFAULT ")\n"                                  \
    "      --passphrase-file FILE  its passphrase, instead of a key\n"                             \
    "  -c, --config FILE      what [provider/…] of type sealed says there\n"                     \
    "  -i, --instance NAME    which of them, if there are several\n"

/* clang-format off */
static const struct store_command commands[] = {
    {{STORE "init", "[--owner USER] [--keep N] [--existing-key]", "Make a store and its key.",
     "      --owner USER       who owns both (run by root: the user of [mount] with -c, else hushfs if\n"
     "                         there is one)\n"
     "      --keep N           versions of a secret to keep (10)\n"
     "      --existing-key     use the key that is there; without it, none may be\n"
     COMMON_HELP, "OKE" COMMON_LETTERS, 0, 0, NULL, NULL}, hush_store_init},
    {{STORE "put", "[--file FILE | --generate [LENGTH|uuid|rsa|ec]] [--strip] [--allow-empty] [--keep N] NAME",
     "Store a value, from standard input or a prompt, as the new version of a secret.",
     "      --file FILE        the value is what the file holds\n"
     "      --generate [WHAT]  a new random value, which is not shown: LENGTH letters and digits (32),\n"
     "                         uuid, rsa (3072 bits) or ec (P-256), both as PEM\n"
     "      --strip            without the newline at the end; else every byte is kept\n"
     "      --allow-empty      also if the value is empty, which is an error otherwise\n"
     "      --keep N           from now on keep N versions of each secret\n"
     COMMON_HELP, "FGsAK" COMMON_LETTERS, 1, 1, NULL, NULL}, hush_store_put},
    {{STORE "get", "[-n] NAME[#VERSION]", "Print a value.",
     "  -n, --no-newline       print no newline at the end on a terminal either\n"
     COMMON_HELP, "n" COMMON_LETTERS, 1, 1, NULL, NULL}, hush_store_get},
    {{STORE "ls", "[-l] [-a] [--json] [FOLDER]", "List secrets. Never a value.",
     "  -l, --long             with versions, size and age\n"
     "  -a, --all              also what was removed and not purged\n"
     "      --json             report in JSON\n"
     COMMON_HELP, "laJ" COMMON_LETTERS, 0, 1, NULL, NULL}, hush_store_ls},
    {{STORE "rm", "[--purge] NAME[#VERSION]",
     "Remove a secret; its versions can still be asked for by number. Or one old version, for good.",
     "      --purge            remove all its versions for good\n"
     COMMON_HELP, "P" COMMON_LETTERS, 1, 1, NULL, NULL}, hush_store_rm},
    {{STORE "rekey", "[--new-passphrase-file FILE]",
     "Seal everything with a new key. Goes on where an interrupted run ended.",
     "      --new-passphrase-file FILE  a new passphrase, for a store that has one\n"
     COMMON_HELP, "N" COMMON_LETTERS, 0, 0, NULL, NULL}, hush_store_rekey},
    {{STORE "import", "[--prefix FOLDER] [--strip] DIR|FILE.env|FILE.json",
     "Store many values at once: all of them, or none.",
     "      --prefix FOLDER    put it before each name\n"
     "      --strip            files of a directory without the newline at their end\n"
     COMMON_HELP, "Xs" COMMON_LETTERS, 1, 1, NULL, NULL}, hush_store_import},
};

/* A letter, if it is a capital, is only spelled out on the command line. */
static const struct option long_options[] = {
    {"config",              required_argument, NULL, 'c'},
    {"instance",            required_argument, NULL, 'i'},
    {"store",               required_argument, NULL, 'S'},
    {"key-file",            required_argument, NULL, 'Y'},
    {"passphrase-file",     required_argument, NULL, 'W'},
    {"new-passphrase-file", required_argument, NULL, 'N'},
    {"file",                required_argument, NULL, 'F'},
    {"generate",            optional_argument, NULL, 'G'},
    {"owner",               required_argument, NULL, 'O'},
    {"keep",                required_argument, NULL, 'K'},
    {"prefix",              required_argument, NULL, 'X'},
    {"existing-key",        no_argument,       NULL, 'E'},
    {"strip",               no_argument,       NULL, 's'},
    {"allow-empty",         no_argument,       NULL, 'A'},
    {"purge",               no_argument,       NULL, 'P'},
    {"long",                no_argument,       NULL, 'l'},
    {"all",                 no_argument,       NULL, 'a'},
    {"json",                no_argument,       NULL, 'J'},
    {"no-newline",          no_argument,       NULL, 'n'},
    {"help",                no_argument,       NULL, 'h'},
    {0},
};
/* clang-format on */

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const char short_options[] = ":c:i:lanh";

/* -- Options ----------------------------------------------------------------------------------- */

struct store_parse {
    struct hush_store_args *args;
    char **argv;
    int argc;
};

/* `--generate uuid`, as if it were `--generate=uuid`. */
static const char *generate_what(const struct store_parse *parse, const char *text)
{
    const char *next = optind < parse->argc ? parse->argv[optind] : "";
    const size_t digits = strspn(next, "0123456789");

    if (text != NULL)
        return text;
    if ((digits == 0 || next[digits] != '\0') && strcmp(next, "uuid") != 0 &&
        strcmp(next, "rsa") != 0 && strcmp(next, "ec") != 0) {
        parse->args->behind = next;
        return "32";
    }
    optind++;
    return next;
}

static const char *args_set(void *ctx, int letter, const char *text)
{
    const struct store_parse *parse = ctx;
    struct hush_store_args *args = parse->args;
    const struct hush_arg rows[] = {
        {'c', NULL, &args->config},
        {'i', NULL, &args->instance},
        {'S', NULL, &args->store},
        {'Y', NULL, &args->key_file},
        {'W', NULL, &args->passphrase_file},
        {'N', NULL, &args->new_passphrase_file},
        {'F', NULL, &args->file},
        {'G', NULL, &args->generate},
        {'O', NULL, &args->owner},
        {'X', NULL, &args->prefix},
        {'E', &args->existing_key, NULL},
        {'s', &args->strip, NULL},
        {'A', &args->allow_empty, NULL},
        {'P', &args->purge, NULL},
        {'l', &args->long_list, NULL},
        {'a', &args->all, NULL},
        {'J', &args->as_json, NULL},
        {'n', &args->no_newline, NULL},
    };
    uint64_t keep;

    if (letter == 'G')
        text = generate_what(parse, text);
    if (hush_args_set(rows, sizeof(rows) / sizeof(rows[0]), letter, text))
        return NULL;
    if (letter != 'K' || !hush_parse_u64(text, SEALED_KEEP_MAX, &keep) || keep == 0)
        return "this must be a number, 1 to 1000: ";
    args->keep = (uint32_t)keep;
    return NULL;
}

/* `--generate dsa` means a kind that there is not, and no name. */
static bool is_kind(const char *word)
{
    static const char *const kinds[] = {
        "aes",     "base64",  "bytes", "dh",    "dsa",    "ecdsa", "ed25519", "ed448",  "guid",
        "hex",     "p256",    "p-256", "p384",  "p-384",  "p521",  "p-521",   "random", "rsa2048",
        "rsa3072", "rsa4096", "uuid",  "uuid4", "x25519", "x448",  "rsa",     "ec",
    };

    for (size_t i = 0; word != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcasecmp(kinds[i], word) == 0)
            return true;
    return false;
}

static int args_check_put(const struct store_command *command, const struct hush_store_args *args)
{
    if (is_kind(args->behind))
        return hush_args_fail(&command->base,
                              "--generate makes LENGTH, uuid, rsa or ec (for a secret that is "
                              "called so: --generate=32 NAME), no ",
                              args->behind);
    if (args->count <= command->base.most)
        return HUSH_CMD_DONE;
    if (args->generate != NULL)
        return hush_args_fail(&command->base,
                              "--generate makes the value (LENGTH, uuid, rsa or ec), and there is "
                              "one NAME: what is this for? ",
                              args->names[command->base.most]);
    return hush_args_fail(
        &command->base,
        "a value is not taken from the command line, where everybody sees it and the shell "
        "remembers it: give it on standard input, or with --file",
        "");
}

/* False: *status is the exit status (--help is DONE). */
static bool args_parse(const struct store_command *command, int argc, char **argv,
                       struct hush_store_args *args, int *status)
{
    static const struct hush_syntax syntax = {short_options, long_options, args_set};
    struct store_parse parse = {.args = args, .argv = argv, .argc = argc};

    *args = (struct hush_store_args){0};
    if (!hush_args_options(&command->base, &syntax, argc, argv, &parse, status))
        return false;
    args->names = argv + optind;
    args->count = argc - optind;
    *status = command->run == hush_store_put ? args_check_put(command, args) : HUSH_CMD_DONE;
    if (*status == HUSH_CMD_DONE)
        *status = hush_args_count(&command->base, args->names, args->count);
    return *status == HUSH_CMD_DONE;
}

/* -- Which store ------------------------------------------------------------------------------- */

/* The instance that -i names, or the only one of type sealed. */
static const struct hush_instance_config *find_instance(const struct hush_store_run *run)
{
    const struct hush_instance_config *found = NULL;
    const char *name = run->args->instance;

    for (size_t i = 0; i < run->config->instance_count; i++) {
        const struct hush_instance_config *instance = &run->config->instances[i];
        if (strcmp(instance->ops->name, "sealed") != 0 ||
            (name != NULL && strcmp(instance->name, name) != 0))
            continue;
        if (found != NULL) {
            (void)hush_cmd_fail(0, "%s has several instances of type sealed: choose with -i",
                                run->args->config);
            return NULL;
        }
        found = instance;
    }
    if (found == NULL)
        (void)hush_cmd_fail(0, "%s has no instance %s%sof type sealed", run->args->config,
                            name == NULL ? "" : name, name == NULL ? "" : " ");
    return found;
}

static int source_from_config(struct hush_store_run *run)
{
    const struct hush_instance_config *instance;
    uint64_t keep;

    run->config = hush_config_load(run->args->config, hush_cmd_config_error, NULL);
    instance = run->config == NULL ? NULL : find_instance(run);
    if (instance == NULL)
        return HUSH_CMD_CONFIG;
    for (size_t i = 0; i < instance->option_count; i++) {
        const struct hush_pair *option = &instance->options[i];
        if (strcmp(option->key, "store") == 0)
            run->source.store = option->value;
        else if (strcmp(option->key, "key_file") == 0)
            run->source.key_file = option->value;
        else if (strcmp(option->key, "passphrase_file") == 0)
            run->source.passphrase_file = option->value;
        else if (strcmp(option->key, "keep") == 0 &&
                 hush_parse_u64(option->value, SEALED_KEEP_MAX, &keep))
            run->keep = (uint32_t)keep;
    }
    return HUSH_CMD_DONE;
}

/* As a configuration takes them; for a relative path one would find an error about credentials. */
static int check_files(const struct hush_store_run *run)
{
    const struct {
        const char *option, *file;
    } rows[] = {
        {"--key-file", run->args->key_file},
        {"--passphrase-file", run->args->passphrase_file},
        {"--new-passphrase-file", run->args->new_passphrase_file},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *file = rows[i].file;
        if (file != NULL && file[0] != '/' &&
            (strchr(file, '/') != NULL || run->source.credentials == NULL))
            return hush_cmd_fail(HUSH_CMD_USAGE,
                                 "store: %s '%s' must be an absolute path, or the name of a "
                                 "systemd credential in $CREDENTIALS_DIRECTORY",
                                 rows[i].option, file);
    }
    return HUSH_CMD_DONE;
}

static int find_source(struct hush_store_run *run)
{
    const struct hush_store_args *args = run->args;
    int status = HUSH_CMD_DONE;

    run->source = (struct sealed_source){.store = HUSH_STORE_DEFAULT,
                                         .credentials = secure_getenv("CREDENTIALS_DIRECTORY")};
    if (args->config != NULL)
        status = source_from_config(run);
    else if (args->instance != NULL)
        return hush_cmd_fail(HUSH_CMD_USAGE, "store: -i goes with -c");
    if (status == HUSH_CMD_DONE)
        status = check_files(run);
    if (status != HUSH_CMD_DONE)
        return status;
    if (args->key_file != NULL && args->passphrase_file != NULL)
        return hush_cmd_fail(HUSH_CMD_USAGE,
                             "store: --key-file and --passphrase-file are too much");
    if (args->store != NULL)
        run->source.store = args->store;
    if (args->key_file != NULL || args->passphrase_file != NULL) {
        run->source.key_file = args->key_file;
        run->source.passphrase_file = args->passphrase_file;
    }
    if (args->keep != 0)
        run->keep = args->keep;
    return HUSH_CMD_DONE;
}

/* -- What the subcommands share ---------------------------------------------------------------- */

int hush_store_fail(const struct hush_store_run *run, enum hush_status status, const char *what)
{
    const char *detail = run->op.detail[0] == '\0' ? hush_status_text(status) : run->op.detail;

    return hush_cmd_fail(status == HUSH_AUTH ? HUSH_CMD_DENIED : hush_cmd_status(status),
                         "%s: %s%s", what == NULL ? "store" : what, detail,
                         status == HUSH_NO_MEMORY ? hush_cmd_memory_hint(&run->op) : "");
}

int hush_store_open(struct hush_store_run *run, struct sealed_store **out)
{
    enum hush_status status;

    hush_op_init(&run->op, run->arena, HUSH_STORE_TIMEOUT_MS);
    status = hush_sealed_store_open(&run->op, &run->source, out);
    if (status != HUSH_OK)
        return hush_store_fail(run, status, NULL);
    if (run->keep != 0)
        hush_sealed_store_keep(*out, run->keep);
    hush_op_init(&run->op, run->arena, 0); /* what follows takes as long as it takes */
    return HUSH_CMD_DONE;
}

bool hush_store_split(const struct sealed_index *index, const char *text, char *name,
                      uint64_t *number)
{
    const char *hash = strrchr(text, '#');
    const size_t size = hash == NULL ? strlen(text) : (size_t)(hash - text);

    *number = 0;
    if (strlen(text) > HUSH_PATH_MAX)
        return false;
    memcpy(name, text, strlen(text) + 1);
    if (hash == NULL || hash == text || hush_sealed_index_find(index, text) != NULL)
        return true;
    if (hush_parse_u64(hash + 1, UINT64_MAX, number) && *number != 0)
        name[size] = '\0';
    return true;
}

void hush_store_progress(const char *what, size_t done, size_t all)
{
    const int filled = (int)(done * BAR_WIDTH / (all == 0 ? 1 : all));

    if (isatty(STDERR_FILENO) != 1)
        return;
    (void)fprintf(stderr, "\r%s [%.*s%.*s] %zu/%zu%s", what, filled,
                  "##############################", BAR_WIDTH - filled,
                  "------------------------------", done, all, done >= all ? "\n" : "");
}

/* -- The command ------------------------------------------------------------------------------- */

static int run_command(const struct store_command *command, const struct hush_store_args *args)
{
    struct hush_store_run run = {.args = args};
    int status;

    hush_cmd_protect();
    status = find_source(&run);
    if (status == HUSH_CMD_DONE) {
        run.arena = hush_cmd_arena(ARENA_SIZE);
        status = run.arena == NULL ? HUSH_CMD_FAILED : command->run(&run);
    }
    hush_arena_free(run.arena);
    hush_config_free(run.config);
    return status;
}

static const char *short_name(const struct store_command *command)
{
    return command->base.name + sizeof(STORE) - 1;
}

static void print_usage(FILE *out)
{
    (void)fputs("usage: hushfs store COMMAND [OPTION…] [ARGUMENT…]\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        (void)fprintf(out, "  %-7s %s\n", short_name(&commands[i]), commands[i].base.summary);
    (void)fputs("\n`hushfs store COMMAND --help` tells its options, hushfs-sealed(7) all of it.\n",
                out);
}

int hush_cmd_store(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    struct hush_store_args args;
    int status;

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_usage(stdout);
        return HUSH_CMD_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(short_name(&commands[i]), name) != 0)
            continue;
        return args_parse(&commands[i], argc - 1, argv + 1, &args, &status)
                   ? run_command(&commands[i], &args)
                   : status;
    }
    if (name[0] != '\0')
        (void)hush_cmd_fail(0, "store: there is no command '%s'", name);
    print_usage(stderr);
    return HUSH_CMD_USAGE;
}
