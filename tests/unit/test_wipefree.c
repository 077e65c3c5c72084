/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wipefree.c - nothing stays in a block that anybody in the process gave back, and the heap
 * is as sound as before. The scan must find what is left without it, else it proves nothing.
 */
#include "core/lockmem.h"
#include "memscan.h"
#include "unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#ifndef HUSH_PRELOAD /* under a sanitizer, where no test runs */
#define HUSH_PRELOAD ""
#endif

enum { NEEDLE_SIZE = 64, LINES = 50, STEPS = 20000 };

/* Into glibc's thread cache, its fast bins, other bins, and mappings of their own. */
static const size_t sizes[] = {32, 40, 60, 100, 1032, 1033, 5000, 60000, 300000};

extern void __libc_free(void *block);

/* The compiler knows what these do, by their names, and must not think about it here. */
static void (*volatile give)(void *block) = free;
static void *(*volatile resize)(void *block, size_t size) = realloc;

static unsigned char needle(size_t position)
{
    return (unsigned char)("QAZWSXEDCRFVTGBYHNUJMIKOLP135790"[(position * 7 + position / 9) % 32]);
}

static void fill(unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        block[i] = needle(i % NEEDLE_SIZE);
}

static size_t copies(void)
{
    return memscan_count(needle, NEEDLE_SIZE);
}

static unsigned char *filled(size_t size)
{
    unsigned char *block = malloc(size);

    assert_non_null(block);
    fill(block, size);
    return block;
}

static void assert_filled(const unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != needle(i % NEEDLE_SIZE))
            fail_msg("byte %zu of %zu is lost", i, size);
}

/* -- What is left ------------------------------------------------------------------------------ */

static void the_scan_finds_what_is_left(void **state)
{
    (void)state; /* none */
    __libc_free(filled(1000));
    assert_true(copies() > 0);
    free(filled(1000)); /* the same block again */
    assert_int_equal(copies(), 0);
}

static void free_leaves_nothing(void **state)
{
    (void)state; /* none */
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *blocks[16];

        for (size_t b = 0; b < COUNT(blocks); b++) /* more than a thread's cache holds */
            blocks[b] = filled(sizes[i]);
        assert_true(copies() >= COUNT(blocks));
        for (size_t b = 0; b < COUNT(blocks); b++)
            free(blocks[b]);
        assert_int_equal(copies(), 0);
    }
}

/* What malloc() gave beyond what was asked for may have been used, too. */
static void the_whole_block_is_wiped(void **state)
{
    unsigned char *block = malloc(41);

    (void)state; /* none */
    fill(block, malloc_usable_size(block));
    free(block);
    block = aligned_alloc(4096, 8192);
    assert_non_null(block);
    fill(block, 8192);
    free(block);
    assert_int_equal(copies(), 0);
}

static void realloc_leaves_nothing(void **state)
{
    (void)state; /* none */
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t k = 0; k < COUNT(sizes); k++) {
            unsigned char *block = realloc(NULL, sizes[i]), *moved;

            assert_non_null(block);
            fill(block, sizes[i]);
            moved = realloc(block, sizes[k]);
            assert_non_null(moved);
            assert_filled(moved, sizes[i] < sizes[k] ? sizes[i] : sizes[k]);
            hush_wipe(moved, sizes[k]); /* so that all that is found is what realloc() left */
            assert_int_equal(copies(), 0);
            free(moved);
        }
    }
    assert_null(resize(filled(100), 0));
    assert_int_equal(copies(), 0);
}

/* -- Whose free() it is ------------------------------------------------------------------------ */

/* The C library's own: the buffer of a stream, with which OpenSSL reads a file of PEM. */
static void the_c_library_leaves_nothing(void **state)
{
    char name[] = "/tmp/test_wipefree_XXXXXX";
    unsigned char line[NEEDLE_SIZE];
    const int fd = mkstemp(name);
    FILE *file;

    (void)state; /* none */
    assert_true(fd >= 0);
    assert_int_equal(unlink(name), 0);
    fill(line, sizeof(line));
    for (size_t i = 0; i < LINES; i++)
        assert_int_equal(write(fd, line, sizeof(line)), sizeof(line));
    hush_wipe(line, sizeof(line));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    file = fdopen(fd, "r");
    assert_non_null(file);
    assert_int_equal(fgetc(file), needle(0));
    assert_true(copies() >= LINES);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(copies(), 0);
}

/* One that is loaded late, for itself alone, with an allocator that nobody replaced. */
static void a_loaded_library_leaves_nothing(void **state)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    void *(*append)(void *list, const char *text);
    void (*free_all)(void *list);
    char text[NEEDLE_SIZE + 1];
    void *list;

    (void)state; /* none */
    assert_non_null(library);
    *(void **)(void *)&append = dlsym(library, "curl_slist_append");
    *(void **)(void *)&free_all = dlsym(library, "curl_slist_free_all");
    assert_non_null(append);
    assert_non_null(free_all);
    fill((unsigned char *)text, NEEDLE_SIZE);
    text[NEEDLE_SIZE] = '\0';
    list = append(NULL, text);
    hush_wipe(text, sizeof(text));
    assert_non_null(list);
    assert_true(copies() > 0);
    free_all(list);
    assert_int_equal(copies(), 0);
}

static void *thread_frees(void *block)
{
    free(block);
    for (size_t i = 0; i < COUNT(sizes); i++) /* from the thread's own part of the heap */
        free(filled(sizes[i]));
    return filled(200); /* for another thread to free */
}

static void threads_leave_nothing(void **state)
{
    pthread_t thread;
    void *block;

    (void)state; /* none */
    assert_int_equal(pthread_create(&thread, NULL, thread_frees, filled(100)), 0);
    assert_int_equal(pthread_join(thread, &block), 0);
    free(block);
    assert_int_equal(copies(), 0);
}

/* -- The heap is sound ------------------------------------------------------------------------- */

static void errors_and_errno_are_as_before(void **state)
{
    char *block = calloc(1, 100);

    (void)state; /* none */
    assert_non_null(block);
    block[99] = 'x';
    errno = ENOENT;
    free(NULL);
    free(malloc(100));
    assert_int_equal(errno, ENOENT);
    assert_null(resize(block, (size_t)PTRDIFF_MAX + 1));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(block[99], 'x');
    free(block);
}

static void blocks_keep_their_bytes(void **state)
{
    static unsigned char *blocks[64];
    static size_t known[64];
    uint64_t random = 1;

    (void)state; /* none */
    for (size_t i = 0; i < STEPS; i++) {
        const size_t at = unit_random(&random) % COUNT(blocks);
        const size_t size = 1 + unit_random(&random) % (i % 50 == 0 ? 200000 : 3000);

        assert_filled(blocks[at], known[at] < size ? known[at] : size);
        if (i % 3 == 0) {
            free(blocks[at]);
            blocks[at] = malloc(size);
        } else {
            blocks[at] = realloc(blocks[at], size);
        }
        assert_non_null(blocks[at]);
        fill(blocks[at], known[at] = size);
    }
    for (size_t i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
    assert_int_equal(copies(), 0);
}

/* As the C library's own function tells them, of all kinds of blocks. */
static void sizes_are_those_of_glibc(void **state)
{
    void *library = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    size_t (*glibc_size)(void *block);

    (void)state; /* none */
    assert_non_null(library);
    *(void **)(void *)&glibc_size = dlsym(library, "malloc_usable_size");
    assert_non_null(glibc_size);
    assert_true(glibc_size != malloc_usable_size);
    assert_int_equal(malloc_usable_size(NULL), 0);
    for (size_t size = 1; size < 1 << 20; size += 1 + size / 3) {
        void *blocks[] = {malloc(size), calloc(1, size), aligned_alloc(4096, size), valloc(size)};

        for (size_t i = 0; i < COUNT(blocks); i++) {
            assert_non_null(blocks[i]);
            assert_true(malloc_usable_size(blocks[i]) >= size);
            assert_int_equal(malloc_usable_size(blocks[i]), glibc_size(blocks[i]));
            free(blocks[i]);
        }
    }
}

static int free_twice(void *ctx)
{
    const struct rlimit none = {0, 0};
    unsigned char *block = malloc(*(const size_t *)ctx);

    (void)setrlimit(RLIMIT_CORE, &none);
    if (block == NULL ||
        freopen("/dev/null", "w", stderr) == NULL) /* glibc says it, as it should */
        return 1;
    fill(block, *(const size_t *)ctx);
    give(block);
    give(block);
    return 0;
}

/* glibc sees it by what it has written into the block. */
static void a_block_freed_twice_still_aborts(void **state)
{
    static size_t small[] = {1, 24, 100, 1000, 5000};

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(small); i++)
        assert_int_equal(in_child(free_twice, &small[i]), 128 + SIGABRT);
}

/* -- Somebody else's allocator ----------------------------------------------------------------- */

static int run_preloaded(void *ctx)
{
    char *const *argv = ctx;
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    if (setenv("LD_PRELOAD", HUSH_PRELOAD, 1) == 0)
        (void)execv(argv[0], argv);
    return 1;
}

/* In the child. */
static int use_heap(void)
{
    char *line = NULL, *resized = resize(malloc(100), 1000);
    void *aligned = NULL, *page = aligned_alloc(4096, 4096);
    const bool good = posix_memalign(&aligned, 64, 64) == 0 && page != NULL && resized != NULL &&
                      asprintf(&line, "%d", 1) == 1 && malloc_usable_size(aligned) >= 64 &&
                      (uintptr_t)aligned % 64 == 0 && (uintptr_t)page % 4096 == 0;

    free(line);
    free(resized);
    free(aligned);
    free(page);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void a_preloaded_allocator_is_not_mixed_in(void **state)
{
    char *const ours[] = {"/proc/self/exe", "use-heap", NULL};
    char *const any[] = {"/bin/ls", "/", NULL};

    (void)state; /* none */
    assert_int_equal(in_child(run_preloaded, (void *)(uintptr_t)any), 128 + SIGABRT);
    assert_int_equal(in_child(run_preloaded, (void *)(uintptr_t)ours), EXIT_SUCCESS);
}

static void odd_alignments_are_refused(void **state)
{
    void *block = NULL;

    (void)state; /* none */
    assert_int_equal(posix_memalign(&block, 0, 64), EINVAL);
    assert_int_equal(posix_memalign(&block, 4, 64), EINVAL);
    assert_int_equal(posix_memalign(&block, 24, 64), EINVAL);
    assert_int_equal(posix_memalign(&block, 64, SIZE_MAX / 2), ENOMEM);
    assert_null(block);
}

/* A function that is looked up when it is called first costs a copy of the vector registers on the
 * stack, of what memcpy() had in hand: so all are looked up at the start. */
static bool bound_now(char **argv)
{
    if (secure_getenv("LD_BIND_NOW") != NULL)
        return true;
    if (setenv("LD_BIND_NOW", "1", 1) == 0)
        (void)execv("/proc/self/exe", argv);
    return false;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scan_finds_what_is_left),
        cmocka_unit_test(free_leaves_nothing),
        cmocka_unit_test(the_whole_block_is_wiped),
        cmocka_unit_test(realloc_leaves_nothing),
        cmocka_unit_test(the_c_library_leaves_nothing),
        cmocka_unit_test(a_loaded_library_leaves_nothing),
        cmocka_unit_test(threads_leave_nothing),
        cmocka_unit_test(errors_and_errno_are_as_before),
        cmocka_unit_test(blocks_keep_their_bytes),
        cmocka_unit_test(a_block_freed_twice_still_aborts),
        cmocka_unit_test(sizes_are_those_of_glibc),
        cmocka_unit_test(odd_alignments_are_refused),
        cmocka_unit_test(a_preloaded_allocator_is_not_mixed_in),
    };

    if (argc > 1)
        return use_heap();
    if (!memscan_works())
        return 77;
    return bound_now(argv) ? cmocka_run_group_tests(tests, NULL, NULL) : EXIT_FAILURE;
}
