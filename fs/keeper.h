/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - what the keeper holds, shared by keeper.c (what goes on) and keeper_setup.c (how it
 * begins). One thread.
 */
#ifndef HUSH_KEEPER_H
#define HUSH_KEEPER_H

#include "child.h"
#include "mountpoint.h"
#include "process.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit status, and the number behind the E on the ready pipe. */
enum { HUSH_KEEPER_FAILED = 1, HUSH_KEEPER_USAGE = 2, HUSH_KEEPER_CONFIG = 3 };

enum hush_keeper_child { HUSH_WORKER, HUSH_MOVER, HUSH_CHECK, HUSH_CHILDREN };

struct hush_child {
    pid_t pid;         /* 0: not running */
    uint64_t start_ns; /* when to start it; 0: not at all */
    uint64_t kill_ns;  /* when to send SIGKILL; 0: not at all */
    uint64_t born_ns;  /* when it was started last */
    unsigned burst;    /* deaths of the young, one after the other */
    bool replaced;     /* its end is our wish: the next one starts at once */
};

struct hush_keeper {
    /* the command line */
    int config_fd, env_fd, ready_fd;
    char *config; /* NULL: no reload */
    char *mountpoint, *options;
    const char *user_name, *log;
    bool foreground, no_allow_other, to_syslog;
    uint64_t memory;
    struct hush_spawn_user user;
    /* what it holds */
    char programs[PATH_MAX]; /* the directory of our own program, and of the others */
    int fuse_fd, state_fd, arena_fd, mover_fds[2];
    struct hush_mountpoint mount;
    struct hush_state *state;
    /* what goes on */
    int signal_fd, mountinfo_fd;
    struct hush_child children[HUSH_CHILDREN];
    int new_config_fd, check_text_fd; /* of a reload that runs */
    int old_config_fd;                /* what was in force before the last reload; -1: none */
    uint32_t reloads_done;
    bool detached;   /* the public mount is gone; open files may still be served */
    uint64_t end_ns; /* all is ending, and at the latest then; 0: not yet */
    int status;
};

/*
 * Read the command line, mount, make the memories, give up privileges. False: it was said why, on
 * the log and the ready pipe, and status is set; there may be a mount.
 */
bool hush_keeper_setup(struct hush_keeper *k, int argc, char **argv);

/* For the log and for `hushfs mount`, which waits for the first word. Returns false. */
__attribute__((format(printf, 3, 4))) bool hush_keeper_fail(struct hush_keeper *k, int status,
                                                            const char *fmt, ...);

/* A memfd of size bytes that nobody can resize if seals say so (F_SEAL_*, 0: none). -1: errno. */
int hush_keeper_memfd(const char *name, size_t size, int seals);

#endif
