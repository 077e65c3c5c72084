/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c - the table behind status.h, and the way from an errno to a status. Everybody calls it.
 */
#include "status.h"

#include <errno.h>
#include <stddef.h>

struct status_row {
    int err;
    bool retries, keeps_stale;
    const char *text, *name;
};

static const struct status_row status_rows[HUSH_STATUS_COUNT] = {
#define X(id, code, again, stale, words)                                                           \
    [HUSH_##id] = {                                                                                \
        .err = (code), .retries = (again), .keeps_stale = (stale), .text = (words), .name = #id},
    HUSH_STATUS_LIST(X)
#undef X
};

/* A number that is no status must never become an errno that the kernel does not know. */
static const struct status_row *status_row(enum hush_status status)
{
    return &status_rows[(unsigned)status < HUSH_STATUS_COUNT ? status : HUSH_BACKEND];
}

int hush_status_errno(enum hush_status status)
{
    return status_row(status)->err;
}

bool hush_status_retries(enum hush_status status)
{
    return status_row(status)->retries;
}

bool hush_status_keeps_stale(enum hush_status status)
{
    return status_row(status)->keeps_stale;
}

const char *hush_status_text(enum hush_status status)
{
    return status_row(status)->text;
}

const char *hush_status_name(enum hush_status status)
{
    return status_row(status)->name;
}

/* clang-format off */
static const struct { int err; enum hush_status status; } status_errnos[] = {
    {0,            HUSH_OK},
    {ENOENT,       HUSH_NOT_FOUND},   {ENOTDIR,      HUSH_NOT_FOUND},
    {ENAMETOOLONG, HUSH_NOT_FOUND},   {ENODEV,       HUSH_UNAVAILABLE},
    {EACCES,       HUSH_DENIED},      {EPERM,        HUSH_DENIED},
    {ELOOP,        HUSH_DENIED},      {EXDEV,        HUSH_DENIED}, /* openat2: leaves the root */
    {EFBIG,        HUSH_TOO_LARGE},   {EOVERFLOW,    HUSH_TOO_LARGE},
    {EMFILE,       HUSH_NO_MEMORY},   {ENFILE,       HUSH_NO_MEMORY},
    {ENOMEM,       HUSH_NO_MEMORY},   {ENOBUFS,      HUSH_NO_MEMORY},
    {EAGAIN,       HUSH_THROTTLED},   {EBUSY,        HUSH_THROTTLED},
    {ETIMEDOUT,    HUSH_TIMEOUT},     {EINTR,        HUSH_CANCELED},
    {ECANCELED,    HUSH_CANCELED},    {ENOTSUP,      HUSH_UNSUPPORTED},
    {ENOSYS,       HUSH_UNSUPPORTED}, {EHOSTDOWN,    HUSH_UNAVAILABLE},
    {EHOSTUNREACH, HUSH_UNAVAILABLE}, {ENETUNREACH,  HUSH_UNAVAILABLE},
    {ENETDOWN,     HUSH_UNAVAILABLE}, {ECONNREFUSED, HUSH_UNAVAILABLE},
    {ECONNRESET,   HUSH_UNAVAILABLE}, {ENOTCONN,     HUSH_UNAVAILABLE},
    {EPIPE,        HUSH_UNAVAILABLE}, {EPROTO,       HUSH_PROTOCOL},
    {EBADMSG,      HUSH_PROTOCOL},
};
/* clang-format on */

enum hush_status hush_status_from_errno(int err)
{
    for (size_t i = 0; i < sizeof(status_errnos) / sizeof(status_errnos[0]); i++)
        if (status_errnos[i].err == err)
            return status_errnos[i].status;
    return HUSH_BACKEND;
}
