/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.h - names of sealed secrets as text in JSON and as paths in the store. Pure; both ways are
 * unambiguous, and a path never leaves the store, whatever the name.
 *
 *   text   '%', control bytes, DEL and every byte over 0x7e as %XX: plain ASCII
 *   path   a segment is a directory. '%', control bytes and DEL as %XX; so is the first byte of a
 *          segment that begins with '.' (the store's own files do) or looks like a version's file
 *          (12.jwe). Bytes over 0x7f stay.
 */
#ifndef HUSH_SEALED_NAME_H
#define HUSH_SEALED_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SEALED_TEXT_MAX = 3 * 2048, /* of HUSH_PATH_MAX bytes */
    SEALED_SEGMENT_MAX = 255,
};

/* NULL: raw can be a name; else what is wrong with it. */
const char *hush_sealed_name_fault(const char *raw);

/* Both need SEALED_TEXT_MAX + 1 bytes; raw is a name. */
void hush_sealed_name_text(const char *raw, char *out);
void hush_sealed_name_path(const char *raw, char *out);

/* The name that text stands for, to raw (as large as text is). False: it stands for none. */
bool hush_sealed_name_from_text(const char *text, char *raw);

#endif
