/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - what tests/bench/run measures with: one operation against several targets in turn, in
 * short slices, so that whatever else the machine does meets all of them alike. Prints JSON.
 *
 *     client [-c CPU] [-n CLIENTS] [-r ROUNDS] [-m SLICE_MS] [-k OPERATIONS] OPERATION NAME=WHERE…
 *
 * OPERATION  read   open, read once, close; from a service: one request
 *            end    the same, reading until the end of the file
 *            map    open, fstat, mmap, touch each page, munmap, close
 *            stat   stat
 *            list   opendir, readdir to the end, closedir
 *            first  as read, of WHERE/e0000, WHERE/e0001, …: each file once
 * WHERE      a path, http:PORT:/PATH (one connection), http-new:PORT:/PATH (one for each request),
 *            unix:SOCKET (see unixd.c); after a /PATH, and a blank, a header may stand: NAME: VALUE
 *
 * One client (the default) tells latencies, several tell operations per second. With -k a slice
 * ends after so many operations instead. The order of the targets moves on by one each round.
 */
#include "../tools/tool.h"
#include "wire.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TARGETS = 16, ROUNDS = 1000, SAMPLES = 1 << 18, WARM_UP = 8, CLIENTS = 64 };

struct target {
    const char *name;
    struct bench_source source;
    uint32_t mean_ns[ROUNDS], median_ns[ROUNDS], p99_ns[ROUNDS]; /* without -n */
    double per_s[ROUNDS];                                        /* all of them, the slowest too */
    uint64_t operations;
};

struct bench {
    bench_operation *operation;
    unsigned clients; /* 0: latencies of one */
    unsigned rounds, slice_ms, slice_operations;
    bool once; /* no operation may be repeated: no warming up */
    struct target targets[TARGETS];
    size_t target_count;
};

/* -- Latencies --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Of the fastest nine tenths. The kernel tells a server of a close() without waiting for it: whose
 * operation pays for that is for the scheduler to say, in clusters that a median falls between. */
static uint32_t mean(const uint32_t *sorted, size_t count)
{
    const size_t most = count - count / 10;
    uint64_t sum = 0;

    for (size_t i = 0; i < most; i++)
        sum += sorted[i];
    return (uint32_t)(sum / most);
}

static void measure_latency(const struct bench *b, struct target *t, unsigned round)
{
    static uint32_t samples[SAMPLES];
    const size_t most = b->slice_operations != 0 ? b->slice_operations : SAMPLES;
    uint64_t first, begin, end, last;
    size_t count = 0;

    for (int i = 0; i < WARM_UP && !b->once; i++)
        b->operation(&t->source);
    first = begin = tool_now_ns();
    last = begin + b->slice_ms * UINT64_C(1000000);
    do {
        b->operation(&t->source);
        end = tool_now_ns();
        samples[count++] = end - begin < UINT32_MAX ? (uint32_t)(end - begin) : UINT32_MAX;
        begin = end;
    } while (count < most && (end < last || b->slice_operations != 0));
    qsort(samples, count, sizeof(samples[0]), by_value);
    t->mean_ns[round] = mean(samples, count);
    t->median_ns[round] = samples[count / 2];
    t->p99_ns[round] = samples[count * 99 / 100];
    t->per_s[round] = (double)count * 1e9 / (double)(end - first);
    t->operations += count;
}

/* -- Operations per second --------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    const struct bench *bench;
    struct bench_source source;
    atomic_bool *stop;
    pthread_barrier_t *ready;
    uint64_t count;
};

static void *work(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < WARM_UP; i++)
        w->bench->operation(&w->source);
    pthread_barrier_wait(w->ready);
    while (!atomic_load_explicit(w->stop, memory_order_relaxed)) {
        w->bench->operation(&w->source);
        w->count++;
    }
    bench_source_done(&w->source);
    return NULL;
}

static void measure_rate(const struct bench *b, struct target *t, unsigned round)
{
    static struct worker workers[CLIENTS];
    pthread_barrier_t ready;
    atomic_bool stop = false;
    uint64_t begin, count = 0;

    pthread_barrier_init(&ready, NULL, b->clients + 1);
    for (unsigned i = 0; i < b->clients; i++) {
        workers[i] = (struct worker){.bench = b, .stop = &stop, .ready = &ready};
        bench_source_copy(&t->source, &workers[i].source);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            tool_die("cannot start a thread");
    }
    pthread_barrier_wait(&ready);
    begin = tool_now_ns();
    (void)usleep(b->slice_ms * 1000U);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < b->clients; i++) {
        pthread_join(workers[i].thread, NULL);
        count += workers[i].count;
    }
    t->per_s[round] = (double)count * 1e9 / (double)(tool_now_ns() - begin);
    t->operations += count;
    pthread_barrier_destroy(&ready);
}

/* -- The program ------------------------------------------------------------------------------- */

static void print_numbers(const char *name, const uint32_t *numbers, unsigned count)
{
    printf(",\"%s\":[", name);
    for (unsigned i = 0; i < count; i++)
        printf("%s%u", i > 0 ? "," : "", numbers[i]);
    printf("]");
}

static void print_rates(const double *numbers, unsigned count)
{
    printf(",\"per_s\":[");
    for (unsigned i = 0; i < count; i++)
        printf("%s%.0f", i > 0 ? "," : "", numbers[i]);
    printf("]");
}

static void print(const struct bench *b)
{
    printf("{");
    for (size_t i = 0; i < b->target_count; i++) {
        const struct target *t = &b->targets[i];

        printf("%s\"%s\":{\"operations\":%llu", i > 0 ? "," : "", t->name,
               (unsigned long long)t->operations);
        if (b->clients == 0) {
            print_numbers("mean_ns", t->mean_ns, b->rounds);
            print_numbers("median_ns", t->median_ns, b->rounds);
            print_numbers("p99_ns", t->p99_ns, b->rounds);
        }
        print_rates(t->per_s, b->rounds);
        printf("}");
    }
    printf("}\n");
}

static void pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        tool_die("cannot stay on CPU %u", cpu);
}

static void take_option(struct bench *b, int option, const char *text)
{
    const unsigned value = tool_number(text);

    switch (option) {
    case 'c':
        pin(value);
        break;
    case 'n':
        b->clients = value;
        break;
    case 'r':
        b->rounds = value;
        break;
    case 'm':
        b->slice_ms = value;
        break;
    default:
        b->slice_operations = value;
        break;
    }
}

static void take_target(struct bench *b, char *text)
{
    char *equals = strchr(text, '=');
    struct target *t = &b->targets[b->target_count++];

    if (equals == NULL || b->target_count == TARGETS)
        tool_die("'%s': NAME=WHERE is wanted, %d of them at most", text, TARGETS - 1);
    *equals = '\0';
    t->name = text;
    bench_source_open(&t->source, equals + 1);
}

static void parse(struct bench *b, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "c:n:r:m:k:")) != -1) {
        if (option == '?')
            exit(2);
        take_option(b, option, optarg);
    }
    if (argc - optind < 2 || b->rounds == 0 || b->rounds > ROUNDS || b->clients > CLIENTS ||
        b->slice_operations > SAMPLES)
        tool_die("client: see client.c");
    b->operation = bench_operation_find(argv[optind]);
    if (b->operation == NULL)
        tool_die("no operation '%s'", argv[optind]);
    b->once = strcmp(argv[optind], "first") == 0;
    for (int i = optind + 1; i < argc; i++)
        take_target(b, argv[i]);
}

int main(int argc, char **argv)
{
    static struct bench b = {.rounds = 5, .slice_ms = 20};

    parse(&b, argc, argv);
    for (unsigned round = 0; round < b.rounds; round++) {
        for (size_t i = 0; i < b.target_count; i++) {
            struct target *t = &b.targets[(i + round) % b.target_count];

            if (b.clients == 0)
                measure_latency(&b, t, round);
            else
                measure_rate(&b, t, round);
        }
    }
    print(&b);
    return 0;
}
