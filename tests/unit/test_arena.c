/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_arena.c - blocks within one process, and across an orderly change of process. What a killed
 * process leaves behind is in test_arena_crash.c.
 */
#include "core/arena.h"
#include "core/lockmem.h"
#include "seccomp.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum { SIZE = 1 << 20 };

static bool is_all(const unsigned char *bytes, size_t size, unsigned char byte)
{
    return size == 0 || (bytes[0] == byte && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static bool is_zero(const unsigned char *bytes, size_t size)
{
    return is_all(bytes, size, 0);
}

static void blocks_are_zeroed_aligned_and_keep_their_bytes(void **state)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100000};
    struct hush_arena *arena = hush_arena_new(SIZE);
    hush_block blocks[COUNT(sizes)];

    (void)state; /* none */
    assert_non_null(arena);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        blocks[i] = hush_arena_alloc(arena, HUSH_BLOCK_SNAPSHOT, sizes[i]);
        assert_int_not_equal(blocks[i], 0);
        assert_int_equal(hush_arena_size(arena, blocks[i]), sizes[i]);
        assert_non_null(hush_arena_bytes(arena, blocks[i]));
        assert_int_equal((uintptr_t)hush_arena_bytes(arena, blocks[i]) % 64, 0);
        assert_true(is_zero(hush_arena_bytes(arena, blocks[i]), sizes[i]));
        memset(hush_arena_bytes(arena, blocks[i]), (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const unsigned char *bytes = hush_arena_bytes(arena, blocks[i]);

        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(bytes[j], i + 1);
        hush_arena_release(arena, blocks[i]);
        assert_true(is_zero(bytes, sizes[i]));
    }
    hush_arena_release(arena, 0);
    assert_int_equal(hush_arena_usage(arena).used, 0);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
    hush_arena_free(arena);
    hush_arena_free(NULL);
}

static void a_full_arena_says_so_and_recovers(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    const size_t room = hush_arena_usage(arena).size;
    hush_block all, one;

    (void)state; /* none */
    assert_true(room > SIZE * 9 / 10 && room < SIZE);
    assert_int_equal(hush_arena_alloc(arena, HUSH_BLOCK_VALUE, room + 1), 0);
    assert_int_equal(hush_arena_alloc(arena, HUSH_BLOCK_VALUE, SIZE_MAX), 0);
    all = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, room);
    assert_int_not_equal(all, 0);
    memset(hush_arena_bytes(arena, all), 0xff, room);
    assert_int_equal(hush_arena_usage(arena).used, room);
    assert_int_equal(hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 1), 0);
    one = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 0); /* needs no unit */
    assert_int_not_equal(one, 0);
    assert_int_equal(hush_arena_usage(arena).blocks, 2);
    hush_arena_release(arena, one);
    hush_arena_release(arena, all);
    one = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, room);
    assert_int_not_equal(one, 0);
    assert_true(is_zero(hush_arena_bytes(arena, one), room));
    hush_arena_free(arena);
}

static void slots_run_out_too(void **state)
{
    struct hush_arena *arena = hush_arena_new(64 << 10);
    uint32_t count = 0;
    hush_block last = 0, block;

    (void)state; /* none */
    while ((block = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 0)) != 0) {
        last = block;
        count++;
        assert_true(count <= 1 << 16);
    }
    assert_in_range(count, 220, 256); /* one per 256 bytes, less the table itself */
    assert_int_equal(hush_arena_usage(arena).blocks, count);
    hush_arena_release(arena, last);
    assert_int_equal(hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 10), last);
    hush_arena_free(arena);
}

static void shrinking_wipes_and_gives_back(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    hush_block block = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 1000);
    unsigned char *bytes = hush_arena_bytes(arena, block);

    (void)state; /* none */
    memset(bytes, 0xee, 1000);
    hush_arena_shrink(arena, block, 1000);
    assert_int_equal(hush_arena_size(arena, block), 1000);
    hush_arena_shrink(arena, block, 2000); /* never grows */
    assert_int_equal(hush_arena_size(arena, block), 1000);
    hush_arena_shrink(arena, block, 65);
    assert_int_equal(hush_arena_size(arena, block), 65);
    assert_int_equal(hush_arena_usage(arena).used, 128);
    assert_int_equal(bytes[64], 0xee);
    assert_true(is_zero(bytes + 65, 1000 - 65));
    hush_arena_shrink(arena, block, 0);
    assert_int_equal(hush_arena_usage(arena).used, 0);
    assert_true(is_zero(bytes, 1000));
    hush_arena_release(arena, block);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
    hush_arena_free(arena);
}

struct seen {
    struct hush_arena *arena;
    hush_block blocks[16];
    enum hush_block_type types[16];
    size_t count;
    bool release;
};

static void see(void *ctx, hush_block block, enum hush_block_type type)
{
    struct seen *seen = ctx;

    assert_true(seen->count < COUNT(seen->blocks));
    seen->blocks[seen->count] = block;
    seen->types[seen->count++] = type;
    if (seen->release)
        hush_arena_release(seen->arena, block);
}

static void the_next_process_finds_what_was_published(void **state)
{
    int fd = hush_lockmem_create("hushfs-test", SIZE);
    struct hush_arena *arena = hush_arena_attach(fd);
    struct seen seen = {0};
    hush_block kept, empty, lost, gone;
    void *bytes;

    (void)state; /* none */
    assert_non_null(arena);
    kept = hush_arena_alloc(arena, HUSH_BLOCK_SNAPSHOT, 100);
    lost = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 5000);
    empty = hush_arena_alloc(arena, HUSH_BLOCK_LISTING, 0);
    gone = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 200);
    memset(hush_arena_bytes(arena, kept), 1, 100);
    memset(hush_arena_bytes(arena, lost), 2, 5000);
    memset(hush_arena_bytes(arena, gone), 3, 200);
    assert_int_equal(hush_arena_published(arena, kept), HUSH_BLOCK_NONE);
    hush_arena_publish(arena, kept);
    hush_arena_publish(arena, empty);
    hush_arena_publish(arena, gone);
    hush_arena_release(arena, gone);
    assert_int_equal(hush_arena_published(arena, kept), HUSH_BLOCK_SNAPSHOT);
    hush_arena_free(arena);

    arena = hush_arena_attach(fd);
    assert_non_null(arena);
    assert_int_equal(hush_arena_usage(arena).blocks, 2);
    assert_int_equal(hush_arena_usage(arena).used, 128);
    hush_arena_walk(arena, see, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.blocks[0], kept);
    assert_int_equal(seen.types[0], HUSH_BLOCK_SNAPSHOT);
    assert_int_equal(seen.blocks[1], empty);
    assert_int_equal(seen.types[1], HUSH_BLOCK_LISTING);
    assert_int_equal(hush_arena_size(arena, kept), 100);
    assert_int_equal(hush_arena_size(arena, empty), 0);
    assert_int_equal(((unsigned char *)hush_arena_bytes(arena, kept))[99], 1);
    assert_int_equal(hush_arena_published(arena, lost), HUSH_BLOCK_NONE);
    assert_int_equal(hush_arena_published(arena, 0), HUSH_BLOCK_NONE);
    assert_int_equal(hush_arena_published(arena, UINT32_MAX), HUSH_BLOCK_NONE);
    lost = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 5000);
    bytes = hush_arena_bytes(arena, lost);
    assert_true(is_zero(bytes, 5000));

    seen = (struct seen){.arena = arena, .release = true};
    hush_arena_walk(arena, see, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(hush_arena_usage(arena).blocks, 1);
    hush_arena_free(arena);
    close(fd);
}

static void what_is_no_arena_is_refused(void **state)
{
    static const size_t sizes[] = {1, 64, 1088, 1151};
    size_t size;
    uint32_t *words;
    int fd;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null(hush_arena_new(sizes[i]));
        assert_int_equal(errno, EINVAL);
    }
    assert_null(hush_arena_new(0));
    assert_int_equal(errno, EINVAL);
    assert_null(hush_arena_attach(-1));
    assert_int_equal(errno, EBADF);

    fd = hush_lockmem_create("hushfs-test", SIZE);
    hush_arena_free(hush_arena_attach(fd));
    words = hush_lockmem_map(fd, &size);
    for (size_t word = 0; word < 5; word++) { /* magic, counts, tops */
        const uint32_t was = words[word];

        words[word] = UINT32_MAX;
        assert_null(hush_arena_attach(fd));
        assert_int_equal(errno, EINVAL);
        words[word] = was;
    }
    hush_arena_free(hush_arena_attach(fd));
    hush_lockmem_unmap(words, size);
    close(fd);
}

static void the_smallest_arena_has_one_unit(void **state)
{
    struct hush_arena *arena = hush_arena_new(64 + 64 * 16 + 64);

    (void)state; /* none */
    assert_non_null(arena);
    assert_int_equal(hush_arena_usage(arena).size, 64);
    assert_int_not_equal(hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 64), 0);
    assert_int_equal(hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 1), 0);
    hush_arena_free(arena);
}

/* Slots that point outside, into each other or to no type are dropped, the others stay. */
static void a_broken_slot_is_dropped(void **state)
{
    struct {
        uint32_t first;
        uint16_t type, published;
        uint64_t size;
    } * slots;
    int fd = hush_lockmem_create("hushfs-test", SIZE);
    struct hush_arena *arena = hush_arena_attach(fd);
    unsigned char *base;
    size_t size;

    (void)state; /* none */
    for (int i = 0; i < 6; i++)
        hush_arena_publish(arena, hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 100));
    hush_arena_free(arena);
    base = hush_lockmem_map(fd, &size);
    slots = (void *)(base + 64);
    slots[0].first = UINT32_MAX;
    slots[1].size = UINT64_MAX;
    slots[2].type = 0;
    slots[3].type = HUSH_BLOCK_LISTING + 1; /* for the walker to judge */
    slots[5].first = slots[4].first + 1;
    hush_lockmem_unmap(base, size);

    arena = hush_arena_attach(fd);
    assert_non_null(arena);
    assert_int_equal(hush_arena_usage(arena).blocks, 2);
    assert_int_equal(hush_arena_published(arena, 4), HUSH_BLOCK_LISTING + 1);
    assert_int_equal(hush_arena_published(arena, 5), HUSH_BLOCK_VALUE);
    hush_arena_free(arena);
    close(fd);
}

enum { MODEL_BLOCKS = 300 };

struct model {
    size_t size;
    hush_block block;
    unsigned char fill;
};

static void model_check(struct hush_arena *arena, const struct model *model)
{
    assert_int_equal(hush_arena_size(arena, model->block), model->size);
    assert_true(is_all(hush_arena_bytes(arena, model->block), model->size, model->fill));
}

static void random_blocks_never_touch_each_other(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    static struct model models[MODEL_BLOCKS];
    size_t count = 0, used = 0;
    uint64_t seed = 2463534242;
    unsigned full = 0;

    (void)state; /* none */
    for (int step = 0; step < 20000; step++) {
        struct model *model = &models[unit_random(&seed) % MODEL_BLOCKS];

        if (model->block != 0) {
            model_check(arena, model);
            hush_arena_release(arena, model->block);
            used -= (model->size + 63) / 64 * 64;
            model->block = 0;
            count--;
            continue;
        }
        model->size = unit_random(&seed) % (unit_random(&seed) % 8 == 0 ? 50000 : 3000);
        model->fill = (unsigned char)(step | 1);
        model->block = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, model->size);
        if (model->block == 0) {
            full++;
            continue;
        }
        assert_true(is_zero(hush_arena_bytes(arena, model->block), model->size));
        memset(hush_arena_bytes(arena, model->block), model->fill, model->size);
        if (unit_random(&seed) % 2 == 0)
            hush_arena_publish(arena, model->block);
        used += (model->size + 63) / 64 * 64;
        count++;
        assert_int_equal(hush_arena_usage(arena).blocks, count);
        assert_int_equal(hush_arena_usage(arena).used, used);
    }
    assert_true(full > 10); /* else this never saw a full arena */
    for (size_t i = 0; i < MODEL_BLOCKS; i++)
        if (models[i].block != 0)
            model_check(arena, &models[i]);
    hush_arena_free(arena);
}

static void *churn(void *ctx)
{
    struct hush_arena *arena = ctx;
    uint64_t seed = (uintptr_t)&arena;

    for (int i = 0; i < 3000; i++) {
        const size_t size = unit_random(&seed) % 2000;
        hush_block block = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, size);
        unsigned char *bytes;

        if (block == 0)
            continue;
        bytes = hush_arena_bytes(arena, block);
        if (!is_zero(bytes, size))
            return arena;
        memset(bytes, i, size);
        if (i % 3 == 0)
            hush_arena_shrink(arena, block, size / 2);
        if (i % 2 == 0)
            hush_arena_publish(arena, block);
        if (i % 64 == 0)
            (void)hush_arena_usage(arena);
        hush_arena_release(arena, block);
    }
    return NULL;
}

static void ignore(void *ctx, hush_block block, enum hush_block_type type)
{
    (void)block; /* only the walk itself is under test */
    (void)type;
    ++*(unsigned *)ctx;
}

static void threads_share_an_arena(void **state)
{
    struct hush_arena *arena = hush_arena_new(256 << 10);
    pthread_t threads[4];
    unsigned seen = 0;
    void *failed;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, arena), 0);
    for (int i = 0; i < 20; i++)
        hush_arena_walk(arena, ignore, &seen);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(hush_arena_usage(arena).used, 0);
    hush_arena_free(arena);
}

static size_t touched(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (size_t)st.st_blocks * 512 : SIZE_MAX;
}

/* A plain memfd tells how much of it exists. 4 MiB fit under the usual RLIMIT_MEMLOCK. */
static int touches_little(void *ctx)
{
    struct hush_arena *arena;
    size_t before;
    int fd;

    (void)ctx; /* none */
    CHECK(refuse_memfd_secret(ENOSYS));
    fd = hush_lockmem_create("hushfs-test", 4 << 20);
    CHECK(fd >= 0);
    arena = hush_arena_attach(fd);
    CHECK(arena != NULL && hush_arena_is_plain(arena));
    CHECK(touched(fd) <= 4096);
    for (int i = 0; i < 5000; i++) {
        hush_block block = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 1000);

        CHECK(block != 0);
        memset(hush_arena_bytes(arena, block), 1, 1000);
        if (i % 1000 == 0)
            hush_arena_publish(arena, block);
        else
            hush_arena_release(arena, block);
    }
    before = touched(fd);
    CHECK(before <= (size_t)8 * 4096);
    hush_arena_free(arena);
    arena = hush_arena_attach(fd);
    CHECK(arena != NULL && hush_arena_usage(arena).blocks == 5);
    CHECK(touched(fd) == before);
    hush_arena_free(arena);
    return close(fd);
}

static void memory_that_was_never_needed_stays_untouched(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(touches_little, NULL), 0);
}

static int own_arena_is_wiped(void *ctx)
{
    static const unsigned char zeros[4096];
    struct hush_arena *arena;
    unsigned char *bytes;
    hush_block block;
    int status = -1;

    (void)ctx; /* none */
    arena = hush_arena_new(SIZE);
    CHECK(arena != NULL);
    block = hush_arena_alloc(arena, HUSH_BLOCK_VALUE, 4096);
    bytes = hush_arena_bytes(arena, block);
    memset(bytes, 0xcd, 4096);
    hush_arena_publish(arena, block);
    if (fork() == 0) { /* shares the memory, and sees what its sibling does to it */
        for (int i = 0; i < 200 && memcmp(bytes, zeros, 4096) != 0; i++)
            usleep(10000);
        _exit(memcmp(bytes, zeros, 4096) == 0 ? 0 : 1);
    }
    hush_arena_free(arena);
    CHECK(wait(&status) > 0);
    return status == 0 ? 0 : 1;
}

static void freeing_an_arena_of_ones_own_wipes_it(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(own_arena_is_wiped, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_keep_their_bytes),
        cmocka_unit_test(a_full_arena_says_so_and_recovers),
        cmocka_unit_test(slots_run_out_too),
        cmocka_unit_test(shrinking_wipes_and_gives_back),
        cmocka_unit_test(the_next_process_finds_what_was_published),
        cmocka_unit_test(what_is_no_arena_is_refused),
        cmocka_unit_test(the_smallest_arena_has_one_unit),
        cmocka_unit_test(a_broken_slot_is_dropped),
        cmocka_unit_test(random_blocks_never_touch_each_other),
        cmocka_unit_test(threads_share_an_arena),
        cmocka_unit_test(memory_that_was_never_needed_stays_untouched),
        cmocka_unit_test(freeing_an_arena_of_ones_own_wipes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
