/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mount.c - `hushfs mount`: checks the configuration, takes the environment into locked memory,
 * and becomes (-f) or starts the keeper with both. What it says of itself comes through a pipe: 'R'
 * once the mount answers, or "E3 why not".
 */
#include "cmd.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/environ.h"
#include "mounts.h"
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MS = 60000, ANSWER_SIZE = 8192, KEEPER_ARGS = 24, NUMBER_SIZE = 24 };

struct start {
    const struct hush_args *args;
    const char *file; /* the configuration, as given */
    struct hush_config *config;
    int config_fd, env_fd;
    char keeper[PATH_MAX + 32];
    char real_file[PATH_MAX]; /* the keeper reads it again, from another directory */
    char real_log[PATH_MAX];
};

/* -- What the keeper is given ------------------------------------------------------------------ */

/* The mount point as mountinfo will spell it, in config. */
static int start_mountpoint(struct start *start)
{
    struct hush_mount_config *mount = &start->config->mount;
    char real[PATH_MAX];

    if (mount->path == NULL) {
        hush_cmd_config_error(NULL, start->file, 0,
                              "[mount]: 'path' is missing, and no MOUNTPOINT was given");
        return HUSH_CMD_CONFIG;
    }
    if (!hush_mounts_resolve_parent(mount->path, real)) /* the keeper refuses a link in its place */
        return hush_cmd_fail(HUSH_CMD_FAILED, "mount point '%s': %m", mount->path);
    char *copy = strdup(real);
    if (copy == NULL)
        return hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    free(mount->path);
    mount->path = copy;
    return HUSH_CMD_DONE;
}

static int start_paths(struct start *start)
{
    const char *log = start->args->log;

    if (realpath(start->file, start->real_file) == NULL)
        return hush_cmd_fail(HUSH_CMD_FAILED, "'%s': %m", start->file);
    if (log == NULL)
        return HUSH_CMD_DONE;
    if (!hush_mounts_resolve_parent(log, start->real_log))
        return hush_cmd_fail(HUSH_CMD_FAILED, "log '%s': %m", log);
    if (hush_path_is_below(start->real_log, start->config->mount.path, true))
        return hush_cmd_fail(HUSH_CMD_USAGE, "log '%s': it must not be below the mount", log);
    return HUSH_CMD_DONE;
}

/* The text that workers read, which nobody can change any more. */
static int start_text(struct start *start)
{
    start->config_fd = memfd_create("hushfs-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FILE *out = start->config_fd < 0 ? NULL : fdopen(dup(start->config_fd), "w");
    if (out == NULL)
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot keep the configuration: %m");
    bool written = hush_config_write(start->config, out);
    written = fclose(out) == 0 && written;
    if (!written || fcntl(start->config_fd, F_ADD_SEALS,
                          F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot keep the configuration: %m");
    return HUSH_CMD_DONE;
}

static int start_environ(struct start *start)
{
    start->env_fd = hush_environ_capture();
    if (start->env_fd >= 0)
        return HUSH_CMD_DONE;
    errno = -start->env_fd;
    return hush_cmd_fail(HUSH_CMD_FAILED,
                         "cannot take the environment into locked memory (see ulimit -l): %m");
}

/* Beside this program, or where it is installed. */
static int start_keeper(struct start *start)
{
    const ssize_t size = readlink("/proc/self/exe", start->keeper, PATH_MAX - 1);
    char *slash = NULL;

    if (size > 0) {
        start->keeper[size] = '\0';
        slash = strrchr(start->keeper, '/');
    }
    if (slash != NULL) {
        (void)snprintf(slash, sizeof("/hushfs-keeper"), "/hushfs-keeper"); /* there is room */
        if (access(start->keeper, X_OK) == 0)
            return HUSH_CMD_DONE;
    }
    (void)snprintf(start->keeper, sizeof(start->keeper), "%s", HUSH_LIBEXECDIR "/hushfs-keeper");
    if (access(start->keeper, X_OK) == 0)
        return HUSH_CMD_DONE;
    return hush_cmd_fail(HUSH_CMD_FAILED, "'%s': %m", start->keeper);
}

/* -- Starting it ------------------------------------------------------------------------------- */

static bool inherit(int fd)
{
    return fd < 0 || fcntl(fd, F_SETFD, 0) == 0;
}

/* Become the keeper. ready_fd -1: nobody waits. Returns the exit status of a failure. */
static int keeper_exec(const struct start *start, int ready_fd)
{
    const struct hush_mount_config *mount = &start->config->mount;
    char config_fd[NUMBER_SIZE], env_fd[NUMBER_SIZE], ready[NUMBER_SIZE], memory[NUMBER_SIZE];
    const char *argv[KEEPER_ARGS] = {"hushfs-keeper",  "--config-fd", config_fd,
                                     "--env-fd",       env_fd,        "--config",
                                     start->real_file, "--user",      mount->user};
    size_t count = 9;

    (void)snprintf(config_fd, sizeof(config_fd), "%d", start->config_fd);
    (void)snprintf(env_fd, sizeof(env_fd), "%d", start->env_fd);
    (void)snprintf(ready, sizeof(ready), "%d", ready_fd);
    (void)snprintf(memory, sizeof(memory), "%" PRIu64, mount->memory);
    if (ready_fd >= 0) {
        argv[count++] = "--ready-fd";
        argv[count++] = ready;
    }
    if (start->args->log != NULL) {
        argv[count++] = "--log";
        argv[count++] = start->real_log;
    }
    if (start->args->options != NULL) { /* for the day when the configuration is read again */
        argv[count++] = "--options";
        argv[count++] = start->args->options;
    }
    if (start->args->foreground)
        argv[count++] = "--foreground";
    if (!mount->allow_other)
        argv[count++] = "--no-allow-other";
    if (mount->memory != 0) {
        argv[count++] = "--memory";
        argv[count++] = memory;
    }
    argv[count++] = "--";
    argv[count++] = mount->path;
    argv[count] = NULL;
    /* What our caller had open is not the keeper's. */
    (void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC); /* since Linux 5.11 */
    if (inherit(start->config_fd) && inherit(start->env_fd) && inherit(ready_fd))
        (void)execv(start->keeper, (char *const *)(uintptr_t)argv); /* it changes nothing */
    return hush_cmd_fail(HUSH_CMD_FAILED, "cannot run '%s': %m", start->keeper);
}

/* Read until a line has ended or the keeper has. The size, or -1: too late. */
static ssize_t answer_read(int fd, char answer[ANSWER_SIZE])
{
    const uint64_t end_ns = hush_now_ns() + (uint64_t)ANSWER_MS * HUSH_NS_PER_MS;
    size_t size = 0;

    while (size < ANSWER_SIZE - 1 && (size == 0 || answer[0] != 'R') &&
           memchr(answer, '\n', size) == NULL) {
        const uint64_t now_ns = hush_now_ns();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (now_ns >= end_ns)
            return -1;
        if (poll(&poll_fd, 1, (int)((end_ns - now_ns) / HUSH_NS_PER_MS) + 1) <= 0)
            continue; /* interrupted, or too late */
        const ssize_t n = read(fd, answer + size, ANSWER_SIZE - 1 - size);
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    answer[size] = '\0';
    return (ssize_t)size;
}

/* "E3 text\n" or "E text\n": say the text, and which exit status it asks for. */
static int answer_error(char *answer)
{
    const int status = answer[1] == '3' ? HUSH_CMD_CONFIG : HUSH_CMD_FAILED;
    char *text = answer + 1 + strspn(answer + 1, "0123456789");

    text += *text == ' ';
    text[strcspn(text, "\n")] = '\0';
    return hush_cmd_fail(status, "%s", text);
}

static int keeper_wait(pid_t pid, int fd)
{
    char answer[ANSWER_SIZE] = "";
    int status = 0;
    const ssize_t size = answer_read(fd, answer);

    if (size > 0 && answer[0] == 'R')
        return HUSH_CMD_DONE;
    if (size < 0) {
        (void)kill(pid, SIGTERM); /* our child, not waited for: it is there */
        return hush_cmd_fail(HUSH_CMD_FAILED, "the mount did not answer within %d s",
                             ANSWER_MS / 1000);
    }
    if (size > 0 && answer[0] == 'E')
        return answer_error(answer);
    (void)waitpid(pid, &status, 0); /* nobody else waits for it */
    if (WIFSIGNALED(status))
        return hush_cmd_fail(HUSH_CMD_FAILED,
                             "the keeper was ended by signal %d before the mount "
                             "answered: its log says more",
                             WTERMSIG(status));
    return hush_cmd_fail(HUSH_CMD_FAILED,
                         "the keeper ended with status %d before the mount "
                         "answered: its log says more",
                         WEXITSTATUS(status));
}

static int keeper_start(const struct start *start)
{
    int ready[2];

    if (start->args->foreground)
        return keeper_exec(start, -1);
    if (pipe2(ready, O_CLOEXEC) != 0)
        return hush_cmd_fail(HUSH_CMD_FAILED, "cannot make a pipe: %m");
    const pid_t pid = fork();
    if (pid == 0) {
        const int status = keeper_exec(start, ready[1]);
        _exit(status);
    }
    (void)close(ready[1]);
    const int status = pid < 0 ? hush_cmd_fail(HUSH_CMD_FAILED, "cannot start the keeper: %m")
                               : keeper_wait(pid, ready[0]);
    (void)close(ready[0]);
    return status;
}

/* -- The command ------------------------------------------------------------------------------- */

static int start_run(struct start *start)
{
    static int (*const steps[])(struct start * start) = {
        start_mountpoint, start_paths, start_keeper, start_text, start_environ,
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const int status = steps[i](start);
        if (status != HUSH_CMD_DONE)
            return status;
    }
    return keeper_start(start);
}

int hush_cmd_mount(const struct hush_args *args)
{
    struct start start = {.args = args,
                          .file = args->config == NULL ? HUSH_CONFIG_FILE : args->config,
                          .config_fd = -1,
                          .env_fd = -1};
    struct hush_mount_keys keys = {.error = hush_cmd_line_error};

    hush_cmd_protect();
    int status = hush_mount_keys_find(&keys, args);
    if (status == HUSH_CMD_DONE) {
        start.config =
            hush_config_load_over(start.file, keys.list, keys.count, hush_cmd_config_error, NULL);
        status = start.config == NULL ? HUSH_CMD_CONFIG : start_run(&start);
    }
    hush_mount_keys_done(&keys);
    hush_config_free(start.config);
    if (start.config_fd >= 0)
        (void)close(start.config_fd);
    if (start.env_fd >= 0)
        (void)close(start.env_fd);
    return status;
}
