/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get.h - what the parts of `hushfs get` share: one provider in this process, asked for one value.
 *
 *     cmd_get.c   the command: configuration, environment, output
 *     get.c       the provider: options, fetching, selecting
 *     get_path.c  what a path can mean
 *     get_ref.c   what a reference means
 *
 * One thread.
 */
#ifndef HUSH_GET_H
#define HUSH_GET_H

#include "config.h"
#include "core/arena.h"

struct hush_get {
    const struct hush_config *config; /* NULL: there is none */
    struct hush_environ *env;
    struct hush_arena *arena;
    struct hush_instance_config instance; /* a copy: what it points to is config's */
    struct hush_provider *provider;
    struct hush_op op; /* of the last call; detail is why it failed */
    const char *what;  /* as given, for messages */
};

/* What may be meant. An empty field: the value as a whole. */
struct hush_get_name {
    char path[HUSH_PATH_MAX + 1]; /* raw */
    char version[HUSH_VERSION_MAX + 1];
    char field[HUSH_PATH_MAX + 1]; /* raw */
    bool has_field, string_only;
    bool map; /* shown as a directory: the whole is its .json, which is no base64 */
};

/* Make and open the provider of get->instance. options override the instance's own. Exit status. */
int hush_get_open(struct hush_get *get, const struct hush_pair *options, size_t count);
void hush_get_close(struct hush_get *get);

/* Fetch and select. *fetched says whether the secret itself was there. */
enum hush_status hush_get_value(struct hush_get *get, const struct hush_get_name *name,
                                bool *fetched, struct hush_secret **out);

/* Say why, and the exit status. */
int hush_get_fail(const struct hush_get *get, enum hush_status status, const char *detail);

/* Both: *out is owned. The exit status. */
int hush_get_path(struct hush_get *get, const char *path, struct hush_secret **out);
int hush_get_reference(struct hush_get *get, const char *text, struct hush_secret **out);

/* Try each in turn until one is there; a failure that another reading does not change ends it. */
int hush_get_first(struct hush_get *get, const struct hush_get_name *names, size_t count,
                   struct hush_secret **out);

#endif
