/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - what keeper, worker and mover agree on: the descriptors they inherit, the memory they
 * share, the words they say.
 *
 *     hushfs mount -> keeper (root) -> worker (serves /dev/fuse) <-- socketpair --> mover (renames)
 *
 * The keeper execs the others with these descriptor numbers and nothing else open.
 */
#ifndef HUSH_PROCESS_H
#define HUSH_PROCESS_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* Descriptors of the keeper's children. */
enum {
    HUSH_FD_FUSE = 3,  /* worker, mover: /dev/fuse (the mover only writes notifications) */
    HUSH_FD_STATE = 4, /* worker: struct hush_state */
    HUSH_FD_ARENA = 5, /* worker: lockmem of the arena */
    HUSH_FD_MOVER = 6, /* worker, mover: each its end of the SOCK_SEQPACKET pair */
    HUSH_FD_ENV = 7,   /* worker: hush_environ_map() */
    HUSH_FD_CONFIG = 8, /* worker: text of hush_config_write(), read from offset 0 with pread */
    HUSH_FD_READY = 9, /* worker: one byte 'R' once the mount answers; closed at once on later starts */
    HUSH_FD_CLONE = 10, /* mover: O_PATH of the writable clone of the mount, or absent */
};

/* Exit status of a worker: what the keeper does next. */
enum {
    HUSH_EXIT_UNMOUNTED = 0, /* the connection ended: all end */
    HUSH_EXIT_CONFIG = 3,    /* cannot start with this configuration: all end if it never served */
    HUSH_EXIT_RESTART = 75,  /* start another one at once (EX_TEMPFAIL) */
};

/* -- Worker to mover and back: one packet each way per command ----------------------------------- */

enum hush_move {
    HUSH_MOVE_HELLO,      /* mover to worker, first thing: commands without an answer are lost */
    HUSH_MOVE_REPLACE,    /* renameat2(dir/from, dir/to); flags = RENAME_EXCHANGE for directories */
    HUSH_MOVE_INVAL_INODE, /* FUSE_NOTIFY_INVAL_INODE ino, offset */
    HUSH_MOVE_INVAL_ENTRY, /* FUSE_NOTIFY_INVAL_ENTRY ino = parent, to = name */
    HUSH_MOVE_DELETE,     /* FUSE_NOTIFY_DELETE ino = parent, child, to = name */
};

struct hush_move_packet {
    uint64_t id;    /* echoed in the answer; a new worker begins far from an old one's */
    uint64_t ino;   /* node id */
    uint64_t child; /* node id */
    int64_t offset; /* INVAL_INODE: 0: attributes and pages; -1: attributes only */
    uint32_t op;    /* enum hush_move */
    uint32_t flags; /* REPLACE: for renameat2() */
    int32_t error;  /* in the answer: 0 or an errno */
    pid_t pid;      /* HELLO: the mover's */
    char dir[PATH_MAX]; /* REPLACE: directory below the mount, "" for the top; no ".." */
    char from[256];
    char to[256];
};

/* -- The state: shared memory of keeper and workers, survives both of the others ----------------- */

enum {
    HUSH_STATE_MAGIC = 0x48555331, /* "HUS1"; another layout, another number */
    HUSH_STAGE_SIZE = 132 * 1024 + 4096, /* the largest request: max_write 128 KiB and headers */
    HUSH_SLOT_SIZE = 488,          /* a request that is longer is answered at once, not journalled */
    HUSH_SLOTS = 16384,
    HUSH_ASKED = 8192,
    HUSH_INIT_SIZE = 256,
};

/* A request that was read and not yet answered. */
struct hush_slot {
    _Atomic uint64_t unique; /* 0: free; UINT64_MAX: being filled; stored last */
    uint32_t size;
    uint16_t replays; /* by how many workers it was begun again: after 2 it is answered EIO */
    _Atomic uint16_t applied; /* its lasting effect (a count) was made: do not repeat it */
    unsigned char bytes[HUSH_SLOT_SIZE];
};

struct hush_state {
    uint32_t magic;
    uint32_t init_size;              /* 0: no INIT seen yet */
    unsigned char init[HUSH_INIT_SIZE]; /* the kernel's INIT request, as read */
    pid_t keeper_pid;
    _Atomic pid_t mover_pid;
    _Atomic uint32_t worker_generation; /* 1 for the first; set by the keeper before each exec */
    _Atomic uint32_t config_generation; /* 1 for the first configuration; set by the keeper */
    uint64_t key[2];  /* random: for node ids and names' hashes; the same in every worker */
    uint64_t started_ns;
    char mount_path[PATH_MAX];
    _Atomic uint32_t stage_busy; /* read(2) lands in stage: no instant at which only a dead process had it */
    unsigned char stage[HUSH_STAGE_SIZE];
    struct hush_slot slots[HUSH_SLOTS];
    /* Threads whose LOOKUP was answered with timeouts 0: their next GETATTR of ino is a gate. */
    struct {
        _Atomic uint64_t ino;
        _Atomic uint32_t tid;
    } asked[HUSH_ASKED];
};

#endif
