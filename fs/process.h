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
    HUSH_FD_FUSE = 3,   /* worker, mover: /dev/fuse (the mover only writes notifications) */
    HUSH_FD_STATE = 4,  /* worker: struct hush_state */
    HUSH_FD_ARENA = 5,  /* worker: lockmem of the arena */
    HUSH_FD_MOVER = 6,  /* worker, mover: each its end of the SOCK_SEQPACKET pair */
    HUSH_FD_ENV = 7,    /* worker: hush_environ_map() */
    HUSH_FD_CONFIG = 8, /* worker: text of hush_config_write(), read from offset 0 with pread */
    HUSH_FD_READY = 9,  /* worker: one byte 'R' once the mount answers, at every start (EPIPE is
                           fine), then closed */
    HUSH_FD_CLONE = 10, /* mover: O_PATH of the writable clone of the mount, or absent */
};

/* Exit status of a worker: what the keeper does next. */
enum {
    HUSH_EXIT_UNMOUNTED = 0, /* the connection ended: all end */
    HUSH_EXIT_CONFIG = 3,    /* cannot start with this configuration: all end if it never served */
    HUSH_EXIT_RELOAD = 74,   /* read the configuration again, then start another one */
    HUSH_EXIT_RESTART = 75,  /* start another one at once (EX_TEMPFAIL) */
};

/* -- Worker to mover and back: one packet each way per command --------------------------------- */

enum hush_move {
    HUSH_MOVE_HELLO,   /* mover to worker, first thing: commands without an answer are lost */
    HUSH_MOVE_REPLACE, /* renameat2(dir/from, dir/to); flags = RENAME_EXCHANGE for directories */
    HUSH_MOVE_INVAL_INODE, /* FUSE_NOTIFY_INVAL_INODE ino, offset */
    HUSH_MOVE_INVAL_ENTRY, /* FUSE_NOTIFY_INVAL_ENTRY ino = parent, to = name */
    HUSH_MOVE_DELETE,      /* FUSE_NOTIFY_DELETE ino = parent, child, to = name */
};

struct hush_move_packet {
    uint64_t id;        /* echoed in the answer; a new worker begins far from an old one's */
    uint64_t ino;       /* node id */
    uint64_t child;     /* node id */
    int64_t offset;     /* INVAL_INODE: 0: attributes and pages; -1: attributes only */
    uint32_t op;        /* enum hush_move */
    uint32_t flags;     /* REPLACE: for renameat2() */
    int32_t error;      /* in the answer: 0 or an errno */
    pid_t pid;          /* HELLO: the mover's */
    char dir[PATH_MAX]; /* REPLACE: directory below the mount, "" for the top; no ".." */
    char from[256];
    char to[256];
};

/* -- The state: shared memory of keeper and workers, survives both of the others --------------- */

enum {
    HUSH_STATE_MAGIC = 0x48555332,       /* "HUS2"; another layout, another number */
    HUSH_STAGE_SIZE = 132 * 1024 + 4096, /* the largest request: max_write 128 KiB and headers */
    HUSH_SLOT_SIZE = 624,                /* RENAME with two names of 255 bytes fits */
    HUSH_SLOTS = 16384,
    HUSH_BIG_SIZE = 17 * 1024, /* IOCTL with the largest argument fits; longer: see session.h */
    HUSH_BIG_SLOTS = 16,
    HUSH_ALL_SLOTS = HUSH_SLOTS + HUSH_BIG_SLOTS,
    HUSH_ASKED = 8192,
    HUSH_INIT_SIZE = 256,
    HUSH_RELOAD_TEXT = 1024,
    /* What the death of a worker adds to the suspicion against each request that it had begun, and
     * when a request is answered EIO instead of being begun again. */
    HUSH_SUSPECT_KILLED = 1,   /* SIGKILL, SIGTERM, or an exit with a status from above */
    HUSH_SUSPECT_CRASHED = 32, /* anything else: two crashes are enough */
    HUSH_SUSPECT_LIMIT = 64,
    HUSH_REVOKE_MS = 5000, /* what a worker may take at the end to give leases and logins back */
};

/* A request that was read and not yet answered. */
struct hush_slot {
    _Atomic uint64_t unique; /* 0: free; stored last */
    uint16_t size;
    uint16_t suspicion;       /* HUSH_SUSPECT_*, of every worker that died with it */
    _Atomic uint16_t begun;   /* this worker, or the one before, has handed it on */
    _Atomic uint16_t applied; /* its lasting effect (a count) was made: do not repeat it */
};

/* How the last reload went; written by the keeper, read by the worker. */
struct hush_reload {
    _Atomic uint32_t asked; /* reloads begun */
    _Atomic uint32_t done;  /* reloads ended: when equal to asked, exit and text are of that one */
    int32_t exit;           /* status of `hushfs check`; 0: the new configuration is in force */
    char text[HUSH_RELOAD_TEXT]; /* what it printed */
};

/* Keys of [mount] that hold for the life of a mount: a hash of the value, or the number that it is.
 */
enum {
    HUSH_FIXED_PATH,
    HUSH_FIXED_USER,
    HUSH_FIXED_ALLOW_OTHER,
    HUSH_FIXED_MEMORY,
    HUSH_FIXED_OPEN, /* the kernel was told at INIT */
    HUSH_FIXED_COUNT
};

struct hush_state {
    uint32_t magic;
    _Atomic uint32_t init_size; /* 0: no INIT seen yet; stored after init */
    _Alignas(uint64_t) unsigned char init[HUSH_INIT_SIZE]; /* the kernel's INIT request, as read */
    _Atomic uint32_t init_answered; /* the kernel has its reply: the mount is being served */
    uint32_t init_flags;            /* of that reply */
    pid_t keeper_pid;
    _Atomic pid_t mover_pid;
    _Atomic uint32_t worker_generation; /* 1 for the first; set by the keeper before each exec */
    _Atomic uint32_t config_generation; /* 1 for the first configuration; set by the keeper */
    _Atomic uint32_t
        suspicion; /* HUSH_SUSPECT_*: how the worker before died; set before each exec */
    struct hush_reload reload;
    _Atomic uint32_t ending; /* the mount ends: set by the keeper before it ends the worker */
    _Atomic uint32_t
        leases;      /* leases or logins are to be given back: a worker needs longer to end */
    uint64_t key[2]; /* random: for node ids and names' hashes; the same in every worker */
    uint64_t started_ns;
    uint64_t fixed[HUSH_FIXED_COUNT]; /* [mount] of the first worker: what no later one changes */
    uint32_t served_config; /* config_generation of the worker that served last; 0: none did */
    char mount_path[PATH_MAX];
    _Atomic uint32_t
        stage_busy; /* read(2) lands in stage: no instant at which only a dead process had it */
    _Atomic uint32_t stage_applied; /* as hush_slot.applied, for a FORGET, which stays in stage */
    _Alignas(uint64_t) unsigned char stage[HUSH_STAGE_SIZE];
    struct hush_slot slots[HUSH_ALL_SLOTS]; /* the first HUSH_SLOTS: small; then the big ones */
    _Alignas(uint64_t) unsigned char small[HUSH_SLOTS][HUSH_SLOT_SIZE];
    _Alignas(uint64_t) unsigned char big[HUSH_BIG_SLOTS][HUSH_BIG_SIZE];
    /* Threads whose LOOKUP was answered with timeouts 0: their next GETATTR of ino is a gate. */
    struct {
        _Atomic uint64_t ino;
        _Atomic uint32_t tid;
    } asked[HUSH_ASKED];
};

#endif
