/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_fuse.h - the parts of the fuzz target of FUSE messages: what the kernel would never send is
 * made into what it might (fuse_message.c), a backend that does what the input says
 * (fuse_backend.c), the end of a filesystem of which nothing may be left (fuse_end.c), and how
 * inputs are changed (fuse_mutate.c).
 */
#ifndef HUSH_FUZZ_FUSE_H
#define HUSH_FUZZ_FUSE_H

#include "control.h"
#include "serve.h"

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MESSAGE_MAX = 16384, /* of the input's */
    KNOWN = 64,
    MOVER = 77, /* the mover's pid */
    FIRST_UNIQUE = 4,
    SMALL = 16, /* numbers from here on stand for something that was learned: a node id, a handle */
};

/* What the kernel has learned from answers. */
struct known {
    uint64_t nodes[KNOWN], handles[KNOWN];
    size_t node_count, handle_count;
    uint64_t staged; /* node id of a staged version; 0: there is none */
};

/*
 * Make size bytes (at most MESSAGE_MAX; room for MESSAGE_MAX + 1024) the message with that unique:
 * framed as the kernel does, everything within it arbitrary. Its size; 0: none that a kernel sends
 * here.
 */
size_t message_make(const struct known *known, unsigned char *bytes, size_t size, uint64_t unique);
bool message_is_answered(uint32_t opcode); /* FORGET is not */

/* What the next calls to the backend come to. */
struct script {
    enum hush_status status;
    unsigned version, shape;
    bool hold; /* they wait until this is false */
};
void backend_set(const struct script *script);
void backend_hold(bool hold);

/* After hush_serve_stop(): free all that it holds in private memory. */
void fs_free(struct hush_fs *fs);

#endif
