/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.h - {vault://PREFIX/RESOURCE[/KEY][/][?opt=val&…][#VERSION]}, as Kong reads it
 * (https://developer.konghq.com/gateway/entities/vault/, kong/pdk/vault.lua), less what is not
 * worth copying: segments are decoded once, '+' is a plus, ';' is a character, a host is a name
 * only. Pure.
 */
#ifndef HUSH_REFERENCE_H
#define HUSH_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

struct hush_reference {
    char *prefix;   /* the instance, or a provider type */
    char *resource; /* percent-decoded segments joined with '/' */
    char *key;      /* the last segment; NULL: none */
    char *version;  /* NULL: current */
    struct hush_reference_option {
        char *name, *value;
    } * options;
    size_t option_count;
};

bool hush_reference_is(const char *text); /* begins with "{vault://" and ends with "}" */

/* False: error (160 bytes) says why. On success free with hush_reference_clear(). */
bool hush_reference_parse(const char *text, struct hush_reference *out, char error[160]);
void hush_reference_clear(struct hush_reference *ref);

#endif
