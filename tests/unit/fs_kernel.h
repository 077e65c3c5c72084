/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_kernel.h - the kernel's, the keeper's and the mover's ends of a worker, for tests of the
 * filesystem without a mount. The worker is a forked process that serves one end of a socket pair
 * in place of /dev/fuse (one packet, one message), so that SIGKILL is a real one; what lives on is
 * the state, the arena and what was sent. Its clocks stand still: a test moves them. Its backend is
 * a directory (tests/providers/test.c).
 *
 *     kernel_start(k, "[provider/s]\ntype = test\ndir = @/s\n");
 *     backend_put(k, "s/db", "one");
 *     assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
 */
#ifndef HUSH_FS_KERNEL_H
#define HUSH_FS_KERNEL_H

#include "unit.h"

#include "control.h"
#include "process.h"

#include <linux/fuse.h>
#include <stdatomic.h>

enum {
    TID = 1000,     /* a thread that asks */
    OTHER = 2001,   /* another; they share no slot of any table */
    MOVER_TID = 77, /* the mover */
    ROOT = 1,
    REQUESTS = 1 << 14,
    MOVES = 256,
    KNOWN = 1024,
};

/* One instance, called s. */
#define CONFIG_S "[provider/s]\ntype = test\ndir = @/s\n"

struct kernel_shared {
    _Atomic uint64_t now_ns;
    _Atomic uint32_t steps; /* test_fs_race.c's */
    bool slow;
    struct hush_state state;
};

struct kernel_reply {
    uint64_t unique;
    int error;       /* positive */
    uint32_t worker; /* its generation */
    size_t size;
    unsigned char *body;
};

struct kernel {
    struct kernel_shared *shared;
    size_t memory;                /* of the arena; set before the first start */
    int arena, fuse[2], mover[2]; /* [0]: ours, [1]: the worker's */
    pid_t worker;                 /* 0: none */
    char dir[64];                 /* @ in configurations */
    const char *mount;            /* more keys of [mount], or NULL */
    const char *keeper; /* a worker that is killed is replaced, with this configuration; or NULL */
    unsigned deaths;
    uint64_t unique; /* of the last request */
    struct kernel_reply *replies[REQUESTS];
    struct hush_move_packet moves[MOVES]; /* all that the mover was told */
    size_t moved, taken;
    struct {
        uint64_t ino, lookups;
    } known[KNOWN]; /* what is not forgotten */
    bool by_hand;   /* the test answers the mover's commands; else they are carried out at once */
    char text[1 << 17];
};

#define KERNEL_TEST(fn) cmocka_unit_test_setup_teardown(fn, kernel_setup, kernel_teardown)
#define SECONDS(n)      (UINT64_C(1000) * (n)) /* in ms */

int kernel_setup(void **state);
int kernel_teardown(void **state); /* fails if the worker did not end well */

/* -- The worker's life ------------------------------------------------------------------------- */

void kernel_start(struct kernel *k, const char *config); /* config less [mount] */
void kernel_kill(struct kernel *k);                      /* SIGKILL: the next start takes over */
int kernel_end(struct kernel *k);    /* the connection ends; the worker's exit status */
int kernel_exited(struct kernel *k); /* it ends by itself */

/* The clocks. The timer looks at them once a second of the real one at the latest. */
void kernel_advance_ms(struct kernel *k, uint64_t ms);

/* -- Requests, one at a time: 0 or a positive errno -------------------------------------------- */

uint64_t kernel_send(struct kernel *k, uint32_t opcode, uint64_t ino, uint32_t tid,
                     const void *body, size_t size);
const struct kernel_reply *kernel_wait(struct kernel *k, uint64_t unique);
bool kernel_answered(struct kernel *k, uint64_t unique); /* all that was sent before was handled */

int kernel_lookup(struct kernel *k, uint32_t tid, uint64_t parent, const char *name,
                  struct fuse_entry_out *out);
uint64_t kernel_send_getattr(struct kernel *k, uint32_t tid, uint64_t ino);
int kernel_getattr(struct kernel *k, uint32_t tid, uint64_t ino, struct fuse_attr_out *out);
uint64_t kernel_send_open(struct kernel *k, uint32_t tid, uint64_t ino);
int kernel_open(struct kernel *k, uint32_t tid, uint64_t ino, struct fuse_open_out *out);
int kernel_opendir(struct kernel *k, uint32_t tid, uint64_t ino, struct fuse_open_out *out);
const char *kernel_read(struct kernel *k, uint64_t ino, uint64_t fh); /* all; or an errno's name */
const char *kernel_readdir(struct kernel *k, uint64_t ino, uint64_t fh); /* "db dir/ …", likewise */
int kernel_release(struct kernel *k, uint32_t opcode, uint64_t ino, uint64_t fh);
void kernel_forget(struct kernel *k, uint64_t ino, uint64_t n);
void kernel_forget_all(struct kernel *k); /* as after `echo 2 > drop_caches` */
int kernel_rename(struct kernel *k, uint32_t tid, uint64_t parent, const char *from, const char *to,
                  uint32_t flags);
void kernel_interrupt(struct kernel *k, uint64_t unique);
const char *kernel_xattr(struct kernel *k, uint64_t ino, const char *name);
uint64_t kernel_send_control(struct kernel *k, unsigned long command, const char *path);
const struct hush_control *kernel_control(struct kernel *k, uint64_t unique); /* its answer */

/* -- What a program does: the value, or the errno's name --------------------------------------- */

/* The walk of the kernel: LOOKUP of each name, GETATTR where attributes are not known; once more,
 * with two LOOKUPs of each name, after ESTALE. */
int kernel_walk(struct kernel *k, uint32_t tid, const char *path, struct fuse_entry_out *out);
const char *kernel_cat(struct kernel *k, uint32_t tid, const char *path);
const char *kernel_ls(struct kernel *k, uint32_t tid, const char *path);
uint64_t kernel_ino(struct kernel *k, const char *path); /* walks */
/* As far as the request that may wait: the name is looked up, its GETATTR has begun. */
uint64_t kernel_send_stat(struct kernel *k, uint32_t tid, const char *path);
/* open(2) and no close; *file: what it has. */
struct kernel_file {
    uint64_t ino, fh;
    uint32_t flags; /* FOPEN_… */
};
int kernel_open_path(struct kernel *k, uint32_t tid, const char *path, struct kernel_file *file);

/* -- The mover, by hand ------------------------------------------------------------------------ */

struct hush_move_packet *mover_take(struct kernel *k,
                                    enum hush_move op);                  /* the next of that kind */
int mover_rename(struct kernel *k, const struct hush_move_packet *move); /* LOOKUPs and RENAME */
void mover_answer(struct kernel *k, const struct hush_move_packet *move, int error);
size_t mover_count(const struct kernel *k, enum hush_move op); /* told so far */

/* -- The backend: path is INSTANCE/NAME -------------------------------------------------------- */

void backend_put(struct kernel *k, const char *path, const char *value);
void backend_control(struct kernel *k, const char *path, const char *suffix, const char *text);
void backend_remove(struct kernel *k, const char *path);
unsigned backend_calls(struct kernel *k, const char *instance, const char *line); /* NULL: all */
const char *backend_last_call(struct kernel *k,
                              const char *instance); /* until the next such call */
void backend_await(struct kernel *k, const char *instance, const char *line, unsigned calls);

#endif
