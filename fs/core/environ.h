/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environ.h - the environment as a source of secrets. The program that starts a mount takes its
 * environment into locked memory (lockmem.h), wipes and removes it from the process (so that
 * /proc/PID/environ, children and libraries do not see it), and hands the descriptor down; workers
 * map it. Only PATH, HOME, LANG, LC_*, TERM, TZ and USER stay in the real environment.
 */
#ifndef HUSH_ENVIRON_H
#define HUSH_ENVIRON_H

#include <stddef.h>

struct hush_environ; /* read-only after it was made: any thread */

/*
 * Take the process's environment: returns a descriptor (close-on-exec) that hush_environ_map()
 * reads, or -errno with the environment unchanged. Call while there is one thread.
 */
int hush_environ_capture(void);

/* Map fd (borrowed). NULL with errno. */
struct hush_environ *hush_environ_map(int fd);
void hush_environ_free(struct hush_environ *env); /* NULL ok */

/* The value of NAME, in locked memory and NUL-terminated, or NULL when unset; borrowed. */
const char *hush_environ_get(const struct hush_environ *env, const char *name);

/* Each variable in the order it was set; stops when fn returns non-zero, and returns that. */
int hush_environ_each(const struct hush_environ *env,
                      int (*fn)(void *ctx, const char *name, const char *value), void *ctx);

#endif
