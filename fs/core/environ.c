/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environ.c - moves the environment into locked memory. `hushfs mount` and `hushfs get` capture,
 * workers and the env provider read.
 *
 * Layout: the header, then NAME\0VALUE\0 for each variable in its order.
 */
#include "environ.h"

#include "lockmem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ENVIRON_MAGIC = 0x48534531 }; /* "HSE1" */

struct environ_header {
    uint32_t magic;
    uint32_t count;
    uint64_t size; /* of everything, this included */
};

struct environ_pair {
    const char *name, *value;
    size_t position;
    bool repeated; /* the name came before: getenv(3) would give that one */
};

struct hush_environ {
    void *base;
    size_t map_size;
    struct environ_pair *pairs;  /* in their order */
    struct environ_pair *sorted; /* by name */
    size_t count;
};

/* What stays: programs and libraries need it, and it is no secret. */
static bool environ_stays(const char *entry)
{
    static const char *const names[] = {"PATH", "HOME", "LANG", "TERM", "TZ", "USER"};
    const size_t size = strcspn(entry, "=");

    if (strncmp(entry, "LC_", 3) == 0)
        return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == size && memcmp(names[i], entry, size) == 0)
            return true;
    return false;
}

/*
 * The '=' of NAME=VALUE, or NULL: anything else is wiped with the rest, but nobody can ask for it.
 */
static const char *environ_equals(const char *entry)
{
    return entry[0] == '=' ? NULL : strchr(entry, '=');
}

static void environ_copy(char **list, struct environ_header *header)
{
    char *to = (char *)(header + 1);

    for (; *list != NULL; list++) {
        const size_t size = strlen(*list) + 1;
        const char *equals = environ_equals(*list);

        if (equals == NULL)
            continue;
        memcpy(to, *list, size);
        to[equals - *list] = '\0';
        to += size;
        header->count++;
    }
    header->size = (uint64_t)(to - (char *)header);
    header->magic = ENVIRON_MAGIC;
}

/* Wipe the strings where the kernel put them (/proc/PID/environ shows that place), close the ranks.
 */
static void environ_clear(char **list)
{
    char **kept = list;

    for (; *list != NULL; list++) {
        if (environ_stays(*list))
            *kept++ = *list;
        else
            hush_wipe(*list, strlen(*list));
    }
    *kept = NULL;
}

static int environ_fill(int fd, char **list)
{
    size_t size = 0;
    struct environ_header *header = hush_lockmem_map(fd, &size);

    if (header == NULL)
        return -errno;
    environ_copy(list, header);
    hush_lockmem_unmap(header, size);
    return 0;
}

int hush_environ_capture(void)
{
    char *none[] = {NULL};
    char **list = environ != NULL ? environ : none;
    size_t size = sizeof(struct environ_header);
    int fd, err;

    for (char **entry = list; *entry != NULL; entry++)
        size += strlen(*entry) + 1;
    fd = hush_lockmem_create("hushfs-environ", size);
    if (fd < 0)
        return fd;
    err = environ_fill(fd, list);
    if (err != 0) {
        (void)close(fd); /* nothing was written */
        return err;
    }
    environ_clear(list);
    return fd;
}

/* By name; within a name in the order in which they were set. */
static int environ_compare(const void *a, const void *b)
{
    const struct environ_pair *x = a, *y = b;
    const int order = strcmp(x->name, y->name);

    if (order != 0)
        return order;
    return x->position < y->position ? -1 : x->position > y->position;
}

/* The string at *text, which moves behind it; NULL: it does not end before end. */
static const char *environ_string(const char **text, const char *end)
{
    const char *start = *text;
    const char *nul = memchr(start, '\0', (size_t)(end - start));

    if (nul == NULL)
        return NULL;
    *text = nul + 1;
    return start;
}

static bool environ_index(struct hush_environ *env)
{
    const struct environ_header *header = env->base;
    const char *text = (const char *)(header + 1), *end;

    if (env->map_size < sizeof(*header) || header->magic != ENVIRON_MAGIC ||
        header->size < sizeof(*header) || header->size > env->map_size ||
        header->count > header->size)
        return false;
    end = (const char *)header + header->size;
    for (uint32_t i = 0; i < header->count; i++) {
        env->pairs[i].name = environ_string(&text, end);
        env->pairs[i].value = environ_string(&text, end);
        if (env->pairs[i].name == NULL || env->pairs[i].value == NULL)
            return false;
        env->pairs[i].position = i;
        env->sorted[i] = env->pairs[i];
    }
    env->count = header->count;
    qsort(env->sorted, env->count, sizeof(env->sorted[0]), environ_compare);
    for (size_t i = 1; i < env->count; i++)
        if (strcmp(env->sorted[i].name, env->sorted[i - 1].name) == 0)
            env->pairs[env->sorted[i].position].repeated = true;
    return true;
}

struct hush_environ *hush_environ_map(int fd)
{
    struct hush_environ *env = calloc(1, sizeof(*env));
    int err;

    if (env == NULL)
        return NULL;
    env->base = hush_lockmem_map(fd, &env->map_size);
    if (env->base == NULL) {
        err = errno;
        free(env);
        errno = err;
        return NULL;
    }
    /* Every variable takes at least two bytes. */
    env->pairs = calloc(env->map_size / 2 + 1, sizeof(env->pairs[0]));
    env->sorted = calloc(env->map_size / 2 + 1, sizeof(env->sorted[0]));
    err = env->pairs == NULL || env->sorted == NULL ? ENOMEM : environ_index(env) ? 0 : EINVAL;
    if (err != 0) {
        hush_environ_free(env);
        errno = err;
        return NULL;
    }
    (void)mprotect(env->base, env->map_size, PROT_READ); /* nobody writes; only a second lock */
    return env;
}

void hush_environ_free(struct hush_environ *env)
{
    if (env == NULL)
        return;
    hush_lockmem_unmap(env->base, env->map_size);
    free(env->pairs);
    free(env->sorted);
    free(env);
}

const char *hush_environ_get(const struct hush_environ *env, const char *name)
{
    size_t low = 0, high = env->count;

    while (low < high) { /* the first that is not below name: the one set first */
        const size_t middle = low + (high - low) / 2;

        if (strcmp(env->sorted[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == env->count || strcmp(env->sorted[low].name, name) != 0)
        return NULL;
    return env->sorted[low].value;
}

int hush_environ_each(const struct hush_environ *env,
                      int (*fn)(void *ctx, const char *name, const char *value), void *ctx)
{
    for (size_t i = 0; i < env->count; i++) {
        int stop;

        if (env->pairs[i].repeated)
            continue;
        stop = fn(ctx, env->pairs[i].name, env->pairs[i].value);
        if (stop != 0)
            return stop;
    }
    return 0;
}
