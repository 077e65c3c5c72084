/* SPDX-License-Identifier: Apache-2.0 */
/*
 * printable.h - text for logs and error details: a backend's bytes must not steer a terminal or
 * forge a line. Used by log.c and op.c.
 */
#ifndef HUSH_PRINTABLE_H
#define HUSH_PRINTABLE_H

/* Replace, in place, every byte that is not printable ASCII by '?'. */
static inline void hush_printable(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

#endif
