/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_get.c - `hushfs get`: one value to standard output, by path or by reference, asked of its
 * backend in this process. Values are in locked memory from the backend's answer to write(2).
 */
#include "cmd.h"
#include "core/cleanup.h"
#include "core/io.h"
#include "core/lockmem.h"
#include "get.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_SIZE = 4 << 20, CHUNK_SIZE = 4096 };

/* Through a small buffer that is wiped: write(2) cannot read all kinds of locked memory. */
static bool write_secret(const struct hush_secret *secret)
{
    const uint8_t *bytes = hush_secret_bytes(secret);
    const size_t size = hush_secret_size(secret);
    char chunk[CHUNK_SIZE];
    bool good = true;

    for (size_t done = 0; good && done < size; done += CHUNK_SIZE) {
        const size_t left = size - done < CHUNK_SIZE ? size - done : CHUNK_SIZE;
        memcpy(chunk, bytes + done, left);
        good = hush_write_all(STDOUT_FILENO, chunk, left);
    }
    const int err = errno;
    hush_wipe(chunk, sizeof(chunk));
    errno = err;
    return good;
}

int hush_cmd_print_secret(const struct hush_secret *secret, bool no_newline)
{
    const size_t size = hush_secret_size(secret);
    const bool ends = size > 0 && hush_secret_bytes(secret)[size - 1] == '\n';
    const bool newline = !no_newline && !ends && isatty(STDOUT_FILENO) != 0;

    if (!write_secret(secret) || (newline && !hush_write_all(STDOUT_FILENO, "\n", 1)))
        return hush_cmd_fail(HUSH_CMD_FAILED, "standard output: %m");
    return HUSH_CMD_DONE;
}

/* The environment as a source of secrets, and out of this process's own. */
static bool get_environ(struct hush_get *get)
{
    cleanup_close int fd = hush_environ_capture();

    if (fd < 0) {
        errno = -fd;
        return false;
    }
    get->env = hush_environ_map(fd);
    return get->env != NULL;
}

/* Or a bad one: no instance's name begins so. */
static bool is_reference(const char *what)
{
    return what[0] == '{';
}

static int get_run(struct hush_get *get, bool no_newline)
{
    const char *what = get->what;
    struct hush_secret *secret = NULL;
    int status;

    if (!get_environ(get)) {
        status = errno == ENOMEM || errno == EPERM
                     ? hush_cmd_memory_fail()
                     : hush_cmd_fail(HUSH_CMD_FAILED, "cannot take the environment: %m");
    } else if ((get->arena = hush_cmd_arena(ARENA_SIZE)) == NULL) {
        status = HUSH_CMD_FAILED;
    } else {
        status = is_reference(what) ? hush_get_reference(get, what, &secret)
                                    : hush_get_path(get, what, &secret);
        if (status == HUSH_CMD_DONE)
            status = hush_cmd_print_secret(secret, no_newline);
        hush_secret_unref(secret);
        hush_get_close(get);
    }
    hush_environ_free(get->env);
    hush_arena_free(get->arena);
    return status;
}

int hush_cmd_get(const struct hush_args *args)
{
    const char *file = args->config == NULL ? HUSH_CONFIG_FILE : args->config;
    struct hush_get get = {.what = args->names[0]};
    struct hush_config *config = NULL;
    /* A reference to a type needs no configuration. */
    const bool optional = args->config == NULL && is_reference(get.what) &&
                          access(file, F_OK) != 0 && errno == ENOENT;

    hush_cmd_protect();
    if (!optional) {
        config = hush_config_load(file, hush_cmd_config_error, NULL);
        if (config == NULL)
            return HUSH_CMD_CONFIG;
    }
    get.config = config;
    const int status = get_run(&get, args->no_newline);
    hush_config_free(config);
    return status;
}
