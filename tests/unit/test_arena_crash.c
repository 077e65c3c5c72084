/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_arena_crash.c - what an arena looks like to the next process when the last one was killed at
 * any instant: everything published is whole and still there, everything else is gone and wiped.
 *
 * The child writes down what it did in a ledger (plain shared memory), always on the safe side: a
 * block counts as published only after it was, and no longer before it is released.
 */
#include "core/arena.h"
#include "core/lockmem.h"
#include "seccomp.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#ifdef HUSH_SANITIZED
enum { ROUNDS = 30 }; /* each takes ten times as long */
#else
enum { ROUNDS = 150 };
#endif

/* Where others work, too, a process gets less done before it is killed: it takes more rounds. */
enum { ROUNDS_MAX = ROUNDS * 20 };

enum { SIZE = 512 << 10, IDS = 256 };

struct ledger {
    _Atomic uint64_t published[IDS]; /* the serial of the block that must be there; 0: none need */
    _Atomic uint64_t steps;
    uint64_t serial;
};

/* What every block holds; the rest is made of the serial, so that no two are alike. */
struct content {
    uint64_t serial;
    uint64_t id;
    uint64_t sum;
    unsigned char bytes[];
};

static uint64_t content_sum(const struct content *content, size_t size)
{
    uint64_t sum = content->serial * 31 + content->id;

    for (size_t i = 0; i < size - sizeof(*content); i++)
        sum = sum * 1099511628211 + content->bytes[i];
    return sum;
}

static hush_block content_make(struct hush_arena *arena, uint64_t serial, uint64_t id, size_t size)
{
    hush_block block = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, size + 100);
    struct content *content;

    if (block == 0)
        return 0;
    content = hush_arena_bytes(arena, block);
    content->serial = serial;
    content->id = id;
    for (size_t i = 0; i < size + 100 - sizeof(*content); i++)
        content->bytes[i] = (unsigned char)(serial + i + 1);
    if (serial % 4 == 0)
        hush_arena_shrink(arena, block, size);
    content->sum = content_sum(content, hush_arena_size(arena, block));
    return block;
}

struct blocks {
    struct hush_arena *arena;
    hush_block of[IDS];
    unsigned count, broken;
};

static void collect(void *ctx, hush_block block, enum hush_block_type type)
{
    struct blocks *blocks = ctx;
    const struct content *content = hush_arena_bytes(blocks->arena, block);
    const size_t size = hush_arena_size(blocks->arena, block);

    blocks->count++;
    if (type != HUSH_BLOCK_VALUE || size < sizeof(*content) || content->id >= IDS ||
        content->sum != content_sum(content, size) || blocks->of[content->id] != 0) {
        blocks->broken++;
        return;
    }
    blocks->of[content->id] = block;
}

static _Noreturn void child(int fd, struct ledger *ledger, uint64_t seed)
{
    struct blocks blocks = {.arena = hush_arena_attach(fd)};

    if (blocks.arena == NULL)
        _exit(1);
    hush_arena_walk(blocks.arena, collect, &blocks);
    for (;;) {
        const uint64_t id = unit_random(&seed) % IDS;
        const size_t size = sizeof(struct content) + unit_random(&seed) % 4000;
        hush_block block;

        atomic_store(&ledger->published[id], 0);
        hush_arena_release(blocks.arena, blocks.of[id]);
        blocks.of[id] = content_make(blocks.arena, ++ledger->serial, id, size);
        block = blocks.of[id];
        if (block != 0 && unit_random(&seed) % 4 != 0) {
            hush_arena_publish(blocks.arena, block);
            atomic_store(&ledger->published[id], ledger->serial);
        }
        atomic_fetch_add(&ledger->steps, 1);
    }
}

/* Bytes that are not 0, from the first unit on. */
static size_t count_set(int fd, size_t units)
{
    size_t size = 0, set = 0;
    unsigned char *base = hush_lockmem_map(fd, &size);

    if (base == NULL)
        return SIZE_MAX;
    for (size_t i = size - units; i < size; i++)
        set += base[i] != 0;
    hush_lockmem_unmap(base, size);
    return set;
}

static size_t count_published(const struct blocks *blocks)
{
    size_t set = 0;

    for (size_t id = 0; id < IDS; id++) {
        const unsigned char *bytes;

        if (blocks->of[id] == 0)
            continue;
        bytes = hush_arena_bytes(blocks->arena, blocks->of[id]);
        for (size_t i = 0; i < hush_arena_size(blocks->arena, blocks->of[id]); i++)
            set += bytes[i] != 0;
    }
    return set;
}

/* Everything that must be there is, with the serial that was written last. */
static void check_ledger(const struct blocks *blocks, const struct ledger *ledger)
{
    for (size_t id = 0; id < IDS; id++) {
        const uint64_t serial = atomic_load(&ledger->published[id]);
        const struct content *content;

        if (serial == 0)
            continue;
        CHECK(blocks->of[id] != 0);
        content = hush_arena_bytes(blocks->arena, blocks->of[id]);
        CHECK(content->serial == serial);
    }
}

/* Attach as the next process would; the number of blocks found. */
static unsigned inspect(int fd, const struct ledger *ledger)
{
    struct blocks blocks = {.arena = hush_arena_attach(fd)};
    struct hush_arena_usage usage;

    CHECK(blocks.arena != NULL);
    hush_arena_walk(blocks.arena, collect, &blocks);
    CHECK(blocks.broken == 0);
    check_ledger(&blocks, ledger);
    usage = hush_arena_usage(blocks.arena);
    CHECK(usage.blocks == blocks.count);
    CHECK(count_set(fd, usage.size) == count_published(&blocks));
    hush_arena_free(blocks.arena);
    return blocks.count;
}

/* As in arena.c. */
struct slot {
    uint32_t first;
    uint16_t type, published;
    uint64_t size;
};

/* The memory of the dead process, before anybody attached: does it have something to wipe? */
static bool left_a_mess(int fd, size_t units)
{
    size_t size = 0, set = 0;
    unsigned char *base = hush_lockmem_map(fd, &size);
    const struct slot *slots;

    if (base == NULL)
        return false;
    slots = (void *)(base + 64);
    for (size_t i = 0; i < (size - units - 64) / 16; i++)
        if (slots[i].published != 0)
            for (size_t j = 0; j < slots[i].size; j++)
                set += base[size - units + slots[i].first * (size_t)64 + j] != 0;
    hush_lockmem_unmap(base, size);
    return count_set(fd, units) != set;
}

static size_t arena_room(int fd)
{
    struct hush_arena *arena = hush_arena_attach(fd);
    const size_t room = arena == NULL ? 0 : hush_arena_usage(arena).size;

    hush_arena_free(arena);
    return room;
}

static void run_and_kill(int fd, struct ledger *ledger, uint64_t seed, bool works)
{
    const uint64_t from = atomic_load(&ledger->steps);
    int status = 0;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0)
        child(fd, ledger, seed);
    while (works && atomic_load(&ledger->steps) == from) {
        CHECK(waitpid(pid, NULL, WNOHANG) == 0); /* else it could not even attach */
        usleep(50);
    }
    usleep((useconds_t)(seed % 3000));
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* not by itself, before */
}

/* Enough blocks, processes that died amid something, and work; else it was not tested. */
static bool is_enough(unsigned found, unsigned messes, uint64_t steps)
{
    return found > ROUNDS * 10 && messes > ROUNDS / 4 && steps / 10 > ROUNDS;
}

static int kill_and_inspect(void *ctx)
{
    uint64_t seed = 0x9e3779b97f4a7c15;
    unsigned found = 0, messes = 0;
    struct ledger *ledger =
        mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t room;
    int fd;

    CHECK(ledger != MAP_FAILED);
    if (ctx != NULL)
        CHECK(refuse_memfd_secret(*(unsigned *)ctx));
    fd = hush_lockmem_create("hushfs-test", SIZE);
    CHECK(fd >= 0);
    room = arena_room(fd);
    for (unsigned round = 0;
         round < ROUNDS || !is_enough(found, messes, atomic_load(&ledger->steps)); round++) {
        CHECK(round < ROUNDS_MAX);
        /* Most begin work; a few die while they attach. */
        run_and_kill(fd, ledger, unit_random(&seed), round % 8 != 0);
        messes += left_a_mess(fd, room);
        found += inspect(fd, ledger);
    }
    return close(fd);
}

static void a_killed_process_leaves_whole_blocks_and_zeros(void **state)
{
    unsigned refusal = ENOSYS;

    (void)state; /* none */
    assert_int_equal(in_child(kill_and_inspect, NULL), 0);
    assert_int_equal(in_child(kill_and_inspect, &refusal), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_process_leaves_whole_blocks_and_zeros),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
