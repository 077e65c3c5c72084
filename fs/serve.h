/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - the life of a worker's filesystem, from the memory that it shares to its end.
 */
#ifndef HUSH_SERVE_H
#define HUSH_SERVE_H

#include "fs.h"

/*
 * fs is zero but for config, env, arena, state and mover_fd, all borrowed for its life. Opens the
 * providers (one that fails never stops the others) and takes over what the arena holds. False: the
 * reason was logged.
 */
bool hush_serve_init(struct hush_fs *fs);

/* Begin to serve fd (owned from now on; wire: see session.h, NULL: the kernel): replays INIT and
 * starts the threads. False: logged. */
bool hush_serve_start(struct hush_fs *fs, int fd, const struct hush_wire *wire);

/* Serve until the end; returns the exit status of process.h. */
int hush_serve_loop(struct hush_fs *fs);

/* Stop the threads and close the providers. If the mount ends, leases are given back first, and the
 * stash is wiped; else what the kernel may still ask for, and the stash, stay in the arena. */
void hush_serve_stop(struct hush_fs *fs);

#endif
