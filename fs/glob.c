/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glob.c - does a path match a rule's glob? `*` and `?` stay within a component, `**` does not; a
 * component of just two stars with more after it also stands for no component at all.
 *
 * Paths are chosen by whoever opens a file, so the time is bounded: of each kind of star only the
 * last one met is ever tried again. That is enough, since a later star can take whatever an earlier
 * one could have taken.
 */
#include "config.h"

#include <stddef.h>

struct retry {
    const char *glob; /* after the star; NULL: none was met */
    const char *path; /* where it was tried last */
    bool components;  /* a component of its own: tried at the beginning of components only */
};

struct match {
    const char *glob, *path;
    struct retry deep, flat; /* of ** and of * */
};

/* Step over a star, and remember where it stood. False: there is none. */
static bool match_star(struct match *m, const char *start)
{
    if (m->glob[0] != '*')
        return false;
    if (m->glob[1] != '*') {
        m->flat = (struct retry){.glob = ++m->glob, .path = m->path};
        return true;
    }
    const bool alone = (m->glob == start || m->glob[-1] == '/') && m->glob[2] == '/';
    m->glob += alone ? 3 : 2;
    m->deep = (struct retry){.glob = m->glob, .path = m->path, .components = alone};
    m->flat.glob = NULL;
    return true;
}

/* Step over one equal character. `?` takes a whole one of UTF-8. */
static bool match_one(struct match *m)
{
    const bool any = *m->glob == '?' && *m->path != '/';

    if (*m->path == '\0' || (*m->glob != *m->path && !any))
        return false;
    m->glob++;
    m->path++;
    while (any && ((unsigned char)*m->path & 0xc0) == 0x80)
        m->path++;
    return true;
}

static bool retry_flat(struct retry *retry)
{
    if (retry->glob == NULL || *retry->path == '\0' || *retry->path == '/')
        return false;
    retry->path++;
    return true;
}

static bool retry_deep(struct retry *retry)
{
    if (retry->glob == NULL)
        return false;
    while (retry->components && *retry->path != '\0' && *retry->path != '/')
        retry->path++;
    if (*retry->path == '\0')
        return false;
    retry->path++;
    return true;
}

/* Let the last star take more. False: none can. */
static bool match_retry(struct match *m)
{
    const struct retry *retry = NULL;

    if (retry_flat(&m->flat))
        retry = &m->flat;
    else if (retry_deep(&m->deep))
        retry = &m->deep;
    if (retry == NULL)
        return false;
    if (retry == &m->deep)
        m->flat.glob = NULL;
    m->glob = retry->glob;
    m->path = retry->path;
    return true;
}

bool hush_glob_match(const char *glob, const char *path)
{
    struct match m = {.glob = glob, .path = path};

    while (*m.glob != '\0' || *m.path != '\0')
        if (!match_star(&m, glob) && !match_one(&m) && !match_retry(&m))
            return false;
    return true;
}
