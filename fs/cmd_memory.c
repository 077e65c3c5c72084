/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_memory.c - the locked memory of `hushfs get` and `hushfs store`, which ordinary users run,
 * too: as much as a command wants, or what RLIMIT_MEMLOCK leaves. How much that is depends on
 * capabilities and on what is locked already, so it is tried.
 */
#include "cmd.h"
#include "core/arena.h"
#include "core/cleanup.h"
#include "core/lockmem.h"

#include <sys/resource.h>

enum {
    MEMORY_STEP = 4 << 10,
    MEMORY_ELSE = 20 << 10, /* for the key of a sealed store, which has pages of its own */
    MEMORY_LEAST = 16 << 10,
};

static bool memory_can_lock(size_t size)
{
    cleanup_close int fd = hush_lockmem_create("hushfs-trial", size);
    void *base = fd < 0 ? NULL : hush_lockmem_map(fd, &size);

    hush_lockmem_unmap(base, size);
    return base != NULL;
}

/* How much of most an arena can have. */
static size_t memory_find(size_t most)
{
    size_t good = 0, bad = most / MEMORY_STEP;

    if (memory_can_lock(most + MEMORY_ELSE))
        return most;
    while (bad - good > 1) {
        const size_t middle = good + (bad - good) / 2;
        if (memory_can_lock(middle * MEMORY_STEP + MEMORY_ELSE))
            good = middle;
        else
            bad = middle;
    }
    return good * MEMORY_STEP;
}

int hush_cmd_memory_fail(void)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_MEMLOCK, &limit); /* cannot fail for a limit that there is */
    return hush_cmd_fail(HUSH_CMD_FAILED,
                         "too little memory can be locked: RLIMIT_MEMLOCK is %llu KiB, at least "
                         "%d KiB are needed (`ulimit -l`; LimitMEMLOCK= in systemd.exec(5), "
                         "memlock in limits.conf(5))",
                         (unsigned long long)limit.rlim_cur / 1024,
                         (MEMORY_LEAST + MEMORY_ELSE) / 1024);
}

const char *hush_cmd_memory_hint(const struct hush_op *op)
{
    return op->no_room == 0 ? "" : ": raise RLIMIT_MEMLOCK (`ulimit -l`)";
}

struct hush_arena *hush_cmd_arena(size_t most)
{
    struct hush_arena *arena = NULL;
    struct rlimit limit;
    size_t size;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* what cannot be locked is seen below */
    }
    size = memory_find(most);
    if (size >= MEMORY_LEAST)
        arena = hush_arena_new(size);
    if (arena == NULL)
        (void)hush_cmd_memory_fail();
    return arena;
}
