/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - the one list of outcomes. One row says all that the core knows about an outcome: the
 * errno that a reader sees, whether the core asks again by itself, and whether the last good value
 * may be served meanwhile. A refusal or an absence never allows a stale value: revoking a secret
 * must take effect. No other errno than these (and the handful of ops.c) ever reaches the kernel.
 */
#ifndef HUSH_STATUS_H
#define HUSH_STATUS_H

#include <stdbool.h>

/* clang-format off */
/*    name         errno         retry  stale  text */
#define HUSH_STATUS_LIST(X)                                                     \
    X(OK,          0,            false, false, "ok")                            \
    X(NOT_FOUND,   ENOENT,       false, false, "not found")                     \
    X(DENIED,      EACCES,       false, false, "refused by the backend")        \
    X(AUTH,        EIO,          true,  true,  "the backend refuses our login") \
    X(CONFIG,      EIO,          false, true,  "wrong configuration")           \
    X(UNSUPPORTED, ENOTSUP,      false, false, "not supported by the backend")  \
    X(TOO_LARGE,   EFBIG,        false, true,  "too large")                     \
    X(THROTTLED,   EAGAIN,       true,  true,  "throttled by the backend")      \
    X(UNAVAILABLE, EHOSTDOWN,    true,  true,  "backend unreachable")           \
    X(BACKEND,     EIO,          true,  true,  "the backend failed")            \
    X(TIMEOUT,     ETIMEDOUT,    true,  true,  "deadline passed")               \
    X(PROTOCOL,    EIO,          false, true,  "malformed answer")              \
    X(CANCELED,    EINTR,        false, true,  "canceled")                      \
    X(NO_MEMORY,   ENOMEM,       true,  true,  "out of memory")
/* clang-format on */

enum hush_status {
#define X(name, err, retry, stale, text) HUSH_##name,
    HUSH_STATUS_LIST(X)
#undef X
        HUSH_STATUS_COUNT
};

int hush_status_errno(enum hush_status status);        /* positive; 0 for HUSH_OK */
bool hush_status_retries(enum hush_status status);     /* the core asks again by itself */
bool hush_status_keeps_stale(enum hush_status status); /* the last good value may be served */
const char *hush_status_text(enum hush_status status); /* static, lower case, no full stop */
const char *hush_status_name(enum hush_status status); /* "NOT_FOUND": for JSON and tests */

/* The status that fits an errno of a local file operation (ENOENT, EACCES, EMFILE, …). */
enum hush_status hush_status_from_errno(int err);

#endif
