/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs.h - what the parts of the worker share: instances, items, snapshots, nodes, requests.
 *
 *     item      what the cache knows of one name below an instance: its snapshots,     item.c
 *               how fresh they are, the last failure, who waits. One fetch at a
 *               time (single flight).
 *     snapshot  one version of a secret: immutable bytes and fields in the arena.    snapshot.c
 *     node      a node id that the kernel may hold. A version's nodes live and die   tree.c
 *               with its snapshot; a path's nodes (directories and names not
 *               settled yet) live until the kernel forgets them.
 *     request   a FUSE request that waits at the gate.                               gate.c
 *     job       a call into a provider, on a thread of its instance's pool.          work.c
 *
 * Threads: the loop (reads /dev/fuse), the pools, the mover's client, the timer, the watches. One
 * lock, hush_fs.lock, guards everything here; it is never held across a provider call, a FUSE
 * reply, a write or a log line. What must happen after unlocking is queued in hush_fs.woken.
 */
#ifndef HUSH_FS_H
#define HUSH_FS_H

#include "config.h"
#include "name.h"
#include "session.h"
#include "upkeep.h"

#include "core/arena.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <uthash.h>
#include <utlist.h>

#define HUSH_STAGE_PREFIX ".hushfs~" /* + 16 hex digits of a node id: only the mover sees these */

struct hush_fs;
struct hush_item;
struct hush_node;
struct hush_view;
struct hush_listing; /* tree.h */

struct hush_instance {
    const struct hush_instance_config *config;
    struct hush_provider *provider;
    struct hush_node *node;
    struct hush_fs *fs;
    struct hush_sleeper *sleepers; /* threads without work: see pool.c */
    struct hush_job *queue;
    pthread_t *threads;
    size_t thread_count;
    pthread_t watcher;
    bool watching; /* watch() runs: listings are as fresh as its reports */
    struct hush_op watch_op;
    uint64_t source; /* hash of what decides which bytes a name has here: type and options */
    enum hush_status health; /* of the last call that reached an outcome */
    char detail[HUSH_DETAIL_MAX];
    struct hush_upkeep upkeep;
};

struct hush_snapshot {
    struct hush_item *item;
    struct hush_snapshot *prev, *next; /* in item->old */
    struct hush_value value;
    struct hush_node *nodes; /* a file's one; else directory, .json or .value, and fields */
    size_t node_count;
    struct hush_settings *settings; /* of each node; NULL: all have the item's (access.h) */
    bool directory;                 /* how it is shown; a new configuration does not change it */
    bool asks; /* superseded: the kernel keeps no attributes of its file, and asks each time */
    hush_block block;
    struct hush_snapshot_record *record; /* in the arena: see snapshot.h */
};

enum hush_kinds {
    HUSH_IS_SECRET = 1,
    HUSH_IS_FOLDER = 2,     /* … or both: see both.h */
    HUSH_MAY_BE_FOLDER = 4, /* nobody may say: a walk goes on through it, opening it fails */
};

struct hush_item {
    char *path;                     /* as shown, INSTANCE/…; the key */
    uint64_t id;                    /* hash of the path, never 0; the same in every worker */
    struct hush_instance *instance; /* NULL: configured no more, open files keep the item */
    uint64_t source; /* of its instance, and its own parameters: another one, other bytes */
    struct hush_settings settings;
    unsigned kinds;                /* learned: what the name is */
    bool versioned;                /* the shown name's #VERSION is a version */
    struct hush_snapshot *current; /* what a new open gets */
    struct hush_snapshot *staged;  /* fetched; shown once the mover's rename arrives */
    struct hush_snapshot *old;     /* superseded, alive while the kernel may ask for it */
    uint64_t command;              /* the mover's, after which the waiters are woken; 0: none */
    uint64_t command_ns;           /* since when */
    uint64_t used_ns;              /* last asked for by somebody */
    uint64_t retry_ns;             /* after a failure: answered from memory until then */
    uint64_t alone_until_ns;       /* there was no folder of its name; not asked again before */
    uint32_t failures;             /* in a row */
    enum hush_status status;       /* of the last fetch */
    enum hush_status opendir;      /* MAY_BE_FOLDER: why it cannot be listed */
    char *detail;                  /* why; NULL: nothing to say */
    time_t mtime_s;                /* of the newest version shown so far */
    bool again;                    /* reported as changed while it was being fetched */
    bool pinned;                   /* the loop is about to wait for it */
    uint64_t renew_ns;             /* after a renewal that failed: not again before */
    uint32_t renew_failures;       /* in a row */
    struct hush_job *job;          /* a fetch */
    struct hush_job *renewal;      /* of the current version's lease: nobody waits for it */
    struct hush_request *waiters;
    UT_hash_handle hh;
};

enum hush_node_kind {
    HUSH_NODE_ROOT,
    HUSH_NODE_CONTROL, /* .hushfs and its files: node ids 2… */
    HUSH_NODE_DIR,     /* a folder of an instance, or its top */
    HUSH_NODE_GUESS,   /* a name of unknown kind, shown as a directory until GETATTR settled it */
    HUSH_NODE_PENDING, /* a secret without a value yet; `directory` says how it will be shown */
    HUSH_NODE_FILE,    /* one file of a snapshot */
    HUSH_NODE_VERSION, /* a snapshot shown as a directory */
};

enum { HUSH_FIELD_WHOLE = -1 };

struct hush_node {
    uint64_t ino;
    enum hush_node_kind kind;
    bool directory, again, named; /* again: DIR: reported as changed while it was being listed */
    int field;                    /* FILE: index into the fields, or HUSH_FIELD_WHOLE */
    const char *name; /* FILE in a VERSION: as shown, borrowed; named: the kernel may know */
    struct hush_snapshot *snapshot; /* FILE, VERSION */
    struct hush_instance *instance; /* path nodes */
    uint64_t bound;   /* PENDING, GUESS: sequence of the version shown through it; 0: none yet */
    bool opened;      /* … and it was opened: no other version is ever shown through it */
    bool secret_too;  /* DIR: it stands for a name that is a secret, too */
    char *path;       /* path nodes: as shown; owned */
    hush_block block; /* path nodes: their record */
    struct hush_node_record *record;
    struct hush_listing *listing; /* DIR: NULL: never listed */
    hush_block listing_block;
    uint64_t listed_ns, list_retry_ns, told_generation;
    time_t changed_s;
    enum hush_status list_status;
    struct hush_job *list_job;
    struct hush_request *list_waiters;
    UT_hash_handle hh;
};

enum hush_request_kind { HUSH_REQ_GETATTR, HUSH_REQ_OPEN, HUSH_REQ_OPENDIR, HUSH_REQ_REFRESH };

/* A request at the gate; see gate.h. */
struct hush_request {
    fuse_req_t req;
    enum hush_request_kind kind;
    uint64_t ino, unique, id;
    pid_t tid;
    int flags;    /* OPEN: O_… */
    bool resolve; /* GETATTR of a name of unknown kind */
    bool waited;  /* the gate was passed: outcome says how */
    bool linked;
    bool settled; /* what it waits for has come; it waits on until the kernel knows */
    enum hush_status outcome;
    char *text; /* REFRESH: why, once it waited; owned */
    uint64_t came_ns, deadline_ns;
    struct hush_item *target;           /* REFRESH, until it is parked */
    struct hush_item *item;             /* where it waits: here … */
    struct hush_node *dir;              /* … or here */
    struct hush_request *prev, *next;   /* waiters of item or dir, or woken */
    struct hush_request *older, *newer; /* all parked, by deadline */
    UT_hash_handle hh;                  /* by id */
};

/* What an open directory or an open file of .hushfs pins. A handle of a dead worker is unknown: its
 * directory is then read from what is known now. */
struct hush_handle {
    uint64_t id;
    struct hush_listing *listing;
    char *text;
    size_t size;
    UT_hash_handle hh;
};

/* A command for the mover; see rotate.h. */
struct hush_command {
    struct hush_move_packet packet;
    char *path; /* of the item that waits for it; NULL: none */
    struct hush_command *prev, *next;
};

/* A thread's last LOOKUP and gate; see gate.c. */
struct hush_pass {
    uint32_t tid;
    bool retry; /* it was answered ESTALE: the lookups that follow belong to the same call */
    uint64_t item, at_ns;     /* id of the item whose gate this thread passed, and when */
    uint64_t told;            /* node id whose OPEN was answered ESTALE … */
    uint64_t told_item;       /* … and its item, as above */
    uint64_t bound, bound_to; /* node id through which it opened another's last, and that one's */
    uint64_t again, again_above, again_ns; /* ids of the item that was last answered ESTALE, and of
                                              the secret above it; when */
};
enum { HUSH_PASSES = 4096, HUSH_RELOADS = 16, HUSH_DOTS = 4 }; /* files of .hushfs */
enum { HUSH_BOUNCE_SIZE = 128 * 1024 };                        /* the largest READ */
struct hush_fs {
    struct hush_session_user user; /* first: see session.h */
    struct hush_config *config;
    struct hush_environ *env;
    struct hush_arena *arena;
    struct hush_stash *stash; /* of all instances */
    struct hush_state *state;
    struct hush_session *session;
    enum hush_open_mode open_mode;
    uid_t uid;    /* the worker's: directories belong to it */
    char *bounce; /* of the loop, locked: see ops.c */
    pthread_mutex_t lock;
    struct hush_instance *instances;
    size_t instance_count;
    struct hush_node *nodes; /* by ino */
    struct hush_view *views; /* see view.h */
    struct hush_node root;
    struct hush_item *items;                   /* by path */
    struct hush_request *parked, *parked_last; /* by deadline */
    struct hush_request *by_id;
    struct hush_request *woken; /* to be answered once the lock is free */
    uint64_t next_id, sequence, generation;
    struct hush_pass passes[HUSH_PASSES];
    bool stopping, reloading;
    bool ends;                        /* the mount, with this worker */
    fuse_req_t reloads[HUSH_RELOADS]; /* who asked for a reload, answered by the timer */
    size_t reload_count;
    pthread_cond_t timer; /* something earlier to wait for, or stopping */
    uint64_t rest_ns;     /* the timer sleeps until then; 0: it is awake */
    pthread_t timer_thread;
    int mover_fd;
    pthread_cond_t moves;
    pthread_t mover_thread;
    struct hush_command *commands;
    uint64_t next_command;
    bool mover_busy;
    struct hush_handle kept[HUSH_DOTS]; /* see dotfiles.h */
    struct hush_handle *handles;        /* open directories and .hushfs files */
};

#endif
