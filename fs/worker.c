/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - program hushfs-worker: serves the mount. Started by the keeper alone, as an
 * unprivileged user, with the descriptors of process.h. It may die at any instant: the next one
 * takes over.
 */
#include "serve.h"

#include "core/log.h"
#include "core/wipealloc.h"
#include "http.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_MAX = 16 << 20 };

/* For the signal handler alone. */
static struct hush_session *stop_session;

static void on_term(int signal)
{
    (void)signal;
    hush_session_stop(stop_session);
}

static void harden(void)
{
    struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none); /* the keeper did, too */
#ifndef HUSH_SANITIZED                   /* LeakSanitizer looks at its own process through ptrace */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static struct hush_state *map_state(void)
{
    struct hush_state *state =
        mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, HUSH_FD_STATE, 0);

    if (state == MAP_FAILED || state->magic != HUSH_STATE_MAGIC)
        return NULL;
    return state;
}

static void config_error(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    hush_error("%s:%u: %s", file, line, text);
}

static struct hush_config *read_config(void)
{
    struct hush_config *config;
    struct stat st;
    char *text;
    ssize_t n;

    if (fstat(HUSH_FD_CONFIG, &st) != 0 || st.st_size > CONFIG_MAX)
        return NULL;
    text = malloc((size_t)st.st_size + 1);
    if (text == NULL)
        return NULL;
    n = pread(HUSH_FD_CONFIG, text, (size_t)st.st_size, 0);
    config = n == st.st_size
                 ? hush_config_parse(text, (size_t)n, "configuration", config_error, NULL)
                 : NULL;
    free(text);
    return config;
}

/* Everything that the keeper handed down. False: logged. */
static bool attach(struct hush_fs *fs)
{
    fs->mover_fd = HUSH_FD_MOVER;
    fs->config = read_config();
    if (fs->config == NULL)
        return false;
    fs->state = map_state();
    fs->arena = hush_arena_attach(HUSH_FD_ARENA);
    fs->env = hush_environ_map(HUSH_FD_ENV);
    if (fs->state != NULL && fs->arena != NULL && fs->env != NULL)
        return true;
    hush_error("cannot map the shared memory: %m (is RLIMIT_MEMLOCK large enough?)");
    return false;
}

static int serve(struct hush_fs *fs, int ready_fd)
{
    struct sigaction term = {.sa_handler = on_term};
    int status;

    if (!hush_serve_start(fs, HUSH_FD_FUSE, NULL))
        return EXIT_FAILURE;
    stop_session = fs->session;
    sigaction(SIGTERM, &term, NULL);
    if (ready_fd >= 0) {
        (void)!write(ready_fd, "R", 1); /* `hushfs mount` may have gone */
        (void)close(ready_fd);
    }
    status = hush_serve_loop(fs);
    hush_serve_stop(fs);
    return status;
}

int main(int argc, char **argv)
{
    static struct hush_fs fs;
    /* Only the first worker of a mount is given it: later its number is anybody's. */
    int ready_fd = fcntl(HUSH_FD_READY, F_GETFD) >= 0 ? HUSH_FD_READY : -1;

    harden();
    hush_log_open("hushfs-worker", argc > 1 && strcmp(argv[1], "--syslog") == 0, HUSH_LOG_INFO);
    hush_json_init();
    if (!hush_wipe_openssl_init()) {
        hush_error("OpenSSL was used before its memory could be wiped");
        _exit(HUSH_EXIT_CONFIG);
    }
    if (!hush_http_init()) {
        hush_error("cannot clean the environment");
        _exit(HUSH_EXIT_CONFIG);
    }
    if (!attach(&fs) || !hush_serve_init(&fs))
        _exit(HUSH_EXIT_CONFIG);
    /* What is in the arena stays for the next worker; nothing else is worth freeing. */
    _exit(serve(&fs, ready_fd));
}
