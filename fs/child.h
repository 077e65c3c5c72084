/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - how the keeper gives up what it does not need, and starts programs with only what they
 * need: the descriptors named, another user, no capabilities, no way to get any.
 */
#ifndef HUSH_CHILD_H
#define HUSH_CHILD_H

#include "process.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    HUSH_SPAWN_FIRST = 3, /* descriptors of a child: from here, … */
    HUSH_SPAWN_FDS = HUSH_FD_CLONE + 1 - HUSH_SPAWN_FIRST, /* … that many */
    HUSH_SPAWN_ABOVE = 20,                                 /* the parent's own must be above */
    HUSH_SPAWN_GROUPS = 256,
    HUSH_SPAWN_FAILED = 127, /* exit status: the program could not be started */
};

struct hush_spawn_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[HUSH_SPAWN_GROUPS]; /* supplementary ones */
    int group_count;
};

struct hush_spawn {
    const char *path; /* of the program */
    char *const *argv;
    int fds[HUSH_SPAWN_FDS];            /* become 3, 4, …; negative: that number is closed */
    int output_fd;                      /* standard output and error; negative: the parent's */
    const struct hush_spawn_user *user; /* NULL: stays what the parent is */
    _Atomic pid_t *tell;                /* shared memory: has its pid before it runs; or NULL */
};

/* Who is NAME or UID, with the groups of the user database. False: unknown, or root. */
bool hush_spawn_user_find(const char *name, struct hush_spawn_user *user);

/*
 * Start it; it gets SIGKILL when the parent dies, and has no descriptor but 0, 1, 2 and fds. Its
 * pid, or -1 with errno. Its environment is PATH, LANG and TZ. With HUSH_SPAWN_FAILED it has said
 * why on stderr.
 */
pid_t hush_spawn(const struct hush_spawn *spawn);

/* The keeper's own: keep these capabilities only (bit 1 << CAP_X), no dumps, last to be killed. */
bool hush_spawn_confine(uint64_t capabilities);

#endif
