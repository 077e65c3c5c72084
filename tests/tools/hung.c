// SPDX-License-Identifier: Apache-2.0
/*
 * hung.c - many threads that open and read one file each, once, at the same moment: readers to park
 * on a backend that does not answer, or a stampede on a secret that nobody has yet.
 *
 *     hung [-n THREADS] [-c] PATH
 *
 * Prints "waiting" when all threads are about to open, and at the end, in JSON, how it went and the
 * shortest and longest wait. -c: open with O_RDWR | O_CREAT, which makes the kernel lock the
 * directory.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ERRNOS = 256 };

static const char *path;
static int flags = O_RDONLY | O_CLOEXEC;
static pthread_barrier_t barrier;
static atomic_uint outcomes[ERRNOS]; /* [0]: read something; [EPIPE]: opened and read nothing */
static atomic_uint_least64_t shortest_ns = UINT64_MAX;
static atomic_uint_least64_t longest_ns;

static int read_once(void)
{
    char byte;
    int error = 0;
    int fd = open(path, flags, 0600);
    ssize_t got;

    if (fd < 0)
        return errno;
    got = read(fd, &byte, 1);
    if (got < 0)
        error = errno;
    else if (got == 0)
        error = EPIPE;
    close(fd);
    return error;
}

static void record(uint64_t took_ns)
{
    uint64_t old = atomic_load(&shortest_ns);

    while (took_ns < old && !atomic_compare_exchange_weak(&shortest_ns, &old, took_ns))
        continue;
    old = atomic_load(&longest_ns);
    while (took_ns > old && !atomic_compare_exchange_weak(&longest_ns, &old, took_ns))
        continue;
}

static void *run(void *arg)
{
    uint64_t begin_ns;
    int error;

    (void)arg;
    pthread_barrier_wait(&barrier);
    begin_ns = tool_now_ns();
    error = read_once();
    record(tool_now_ns() - begin_ns);
    atomic_fetch_add(&outcomes[error < ERRNOS ? error : 0], 1);
    return NULL;
}

static void report(unsigned threads)
{
    const char *comma = "";

    printf("{\"threads\":%u,\"ok\":%u,\"shortest_ms\":%" PRIu64 ",\"longest_ms\":%" PRIu64
           ",\"errors\":{",
           threads, atomic_load(&outcomes[0]), atomic_load(&shortest_ns) / 1000000,
           atomic_load(&longest_ns) / 1000000);
    for (int i = 1; i < ERRNOS; i++) {
        unsigned seen = atomic_load(&outcomes[i]);

        if (seen) {
            printf("%s\"%s\":%u", comma, strerrorname_np(i), seen);
            comma = ",";
        }
    }
    printf("}}\n");
}

static unsigned parse(int argc, char **argv)
{
    unsigned threads = 1;
    int option;

    while ((option = getopt(argc, argv, "n:c")) != -1) {
        if (option == 'n')
            threads = tool_number(optarg);
        else if (option == 'c')
            flags = O_RDWR | O_CREAT | O_CLOEXEC;
        else
            tool_die("usage: hung [-n THREADS] [-c] PATH");
    }
    if (optind + 1 != argc || !threads)
        tool_die("hung: one path, please, and a thread");
    path = argv[optind];
    return threads;
}

int main(int argc, char **argv)
{
    unsigned threads = parse(argc, argv);
    pthread_t *ids = calloc(threads, sizeof *ids);
    pthread_attr_t small;

    if (!ids || pthread_barrier_init(&barrier, NULL, threads + 1) != 0)
        tool_die("hung: no memory");
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)PTHREAD_STACK_MIN + 16384);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], &small, run, NULL) != 0)
            tool_die("hung: cannot start thread %u", i);
    }
    pthread_attr_destroy(&small);
    puts("waiting");
    (void)fflush(stdout);
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    free(ids);
    report(threads);
    return 0;
}
