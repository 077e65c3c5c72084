// SPDX-License-Identifier: Apache-2.0
/*
 * reader.c - threads that open, read and check self-describing files (tool.h) over and over, and
 * say at the end, in JSON, what they saw. A read is torn if the bytes are not one whole version, if
 * fstat() before or after differs from them, or if a mapping differs; backwards if a thread sees an
 * older version after a newer one; mixed if two fields of one open directory differ in version.
 *
 *     reader [-n THREADS] [-t MS] [-p PAUSE_US] [-f FIELD -f FIELD …] PATH…
 *
 * With -f each PATH is a directory, opened once for all its fields. Ends after MS, or at SIGTERM,
 * but not before each thread has read once.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER = 1 << 20,
    FIELDS = 8,
    PATHS = 64,
    ERRNOS = 256,
    BUCKETS = 400, /* of latency: 8 to an octave, from 1 us */
    MAP_EVERY = 4,
};

struct options {
    unsigned threads, run_ms, pause_us;
    const char *fields[FIELDS];
    size_t field_count;
    char **paths;
    size_t path_count;
};

struct tally {
    uint64_t reads, failed, torn, mixed, backwards, maps;
    uint64_t errors[ERRNOS];
    uint64_t latency[BUCKETS];
    uint64_t longest_ns;
    uint32_t oldest, newest;
    const char *torn_why;   /* of the first */
    const char *failed_how; /* the first failure: which call … */
    int failed_errno;       /* … and why … */
    uint64_t failed_ms;     /* … and when */
};

struct reader {
    pthread_t thread;
    const struct options *options;
    struct tally tally;
    unsigned number;
    uint32_t seen[PATHS]; /* newest version of each path */
    unsigned char buffer[BUFFER];
};

static atomic_bool stopping;
static uint64_t started_ns;

static void on_term(int signal_number)
{
    (void)signal_number;
    atomic_store(&stopping, true);
}

static unsigned bucket(uint64_t ns)
{
    uint64_t us = ns / 1000 + 1;
    unsigned octave = 63U - (unsigned)__builtin_clzll(us);
    unsigned eighth = octave < 3 ? 0 : (unsigned)(us >> (octave - 3)) & 7;
    unsigned at = octave * 8 + eighth;

    return at < BUCKETS ? at : BUCKETS - 1;
}

/* Upper end of a bucket. */
static uint64_t bucket_us(unsigned at)
{
    unsigned octave = at / 8;

    return octave < 3 ? UINT64_C(2) << octave : (UINT64_C(9) + at % 8) << (octave - 3);
}

static bool fail(struct tally *tally, const char *how, int error)
{
    if (!tally->failed++) {
        tally->failed_how = how;
        tally->failed_errno = error;
        tally->failed_ms = (tool_now_ns() - started_ns) / 1000000;
    }
    tally->errors[error >= 0 && error < ERRNOS ? error : 0]++;
    return false;
}

static bool torn(struct tally *tally, const char *why)
{
    if (!tally->torn++)
        tally->torn_why = why;
    return false;
}

/* Read fd to its end in pieces of a size that differs from read to read. */
static bool read_all(struct reader *reader, int fd, size_t *size)
{
    static const size_t pieces[] = {BUFFER, 4096, 1000, 65536};
    size_t piece = pieces[reader->tally.reads % 4];

    *size = 0;
    while (*size < BUFFER) {
        size_t most = BUFFER - *size < piece ? BUFFER - *size : piece;
        ssize_t got = read(fd, reader->buffer + *size, most);

        if (got < 0)
            return fail(&reader->tally, "read", errno);
        if (got == 0)
            return true;
        *size += (size_t)got;
    }
    return fail(&reader->tally, "read", EFBIG);
}

static bool check_map(struct reader *reader, int fd, size_t size)
{
    bool same;
    void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

    if (map == MAP_FAILED)
        return fail(&reader->tally, "mmap", errno);
    same = memcmp(map, reader->buffer, size) == 0;
    munmap(map, size);
    reader->tally.maps++;
    return same || torn(&reader->tally, "mapping differs from read");
}

/* Everything about one open file. */
static bool check_fd(struct reader *reader, int fd, uint32_t *version)
{
    struct tally *tally = &reader->tally;
    struct stat before;
    struct stat after;
    const char *why;
    size_t size;

    if (fstat(fd, &before) < 0)
        return fail(tally, "fstat", errno);
    if (!read_all(reader, fd, &size))
        return false;
    if (fstat(fd, &after) < 0)
        return fail(tally, "fstat after", errno);
    why = tool_check(reader->buffer, size, version);
    if (why)
        return torn(tally, why);
    if (before.st_size != (off_t)size || after.st_size != (off_t)size)
        return torn(tally, "fstat gives another size");
    if (before.st_ino != after.st_ino || before.st_mtime != after.st_mtime)
        return torn(tally, "fstat changed while open");
    return tally->reads % MAP_EVERY || check_map(reader, fd, size);
}

static bool check_at(struct reader *reader, int dir, const char *path, uint32_t *version)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    bool good;

    if (fd < 0)
        return fail(&reader->tally, "open", errno);
    good = check_fd(reader, fd, version);
    close(fd);
    return good;
}

static bool check_fields(struct reader *reader, const char *path, uint32_t *version)
{
    const struct options *options = reader->options;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = true;

    if (dir < 0)
        return fail(&reader->tally, "open directory", errno);
    for (size_t i = 0; good && i < options->field_count; i++) {
        uint32_t this = 0;

        good = check_at(reader, dir, options->fields[i], &this);
        if (good && i > 0 && this != *version)
            reader->tally.mixed++;
        *version = this;
    }
    close(dir);
    return good;
}

static void count(struct reader *reader, size_t path, uint32_t version)
{
    struct tally *tally = &reader->tally;

    if (version < reader->seen[path])
        tally->backwards++;
    reader->seen[path] = version;
    if (version > tally->newest)
        tally->newest = version;
    if (version < tally->oldest)
        tally->oldest = version;
}

static void read_once(struct reader *reader, size_t path)
{
    const struct options *options = reader->options;
    struct tally *tally = &reader->tally;
    uint64_t begin_ns = tool_now_ns();
    uint64_t took_ns;
    uint32_t version = 0;
    bool good = options->field_count ? check_fields(reader, options->paths[path], &version)
                                     : check_at(reader, AT_FDCWD, options->paths[path], &version);

    took_ns = tool_now_ns() - begin_ns;
    tally->reads++;
    tally->latency[bucket(took_ns)]++;
    if (took_ns > tally->longest_ns)
        tally->longest_ns = took_ns;
    if (good)
        count(reader, path, version);
}

static void *run(void *arg)
{
    struct reader *reader = arg;
    const struct options *options = reader->options;
    uint64_t end_ns = started_ns + (uint64_t)options->run_ms * 1000000;
    size_t path = reader->number % options->path_count;

    do {
        read_once(reader, path);
        path = (path + 1) % options->path_count;
        if (options->pause_us)
            usleep(options->pause_us);
    } while (!atomic_load(&stopping) && tool_now_ns() < end_ns);
    return NULL;
}

static void add(struct tally *sum, const struct tally *one)
{
    sum->reads += one->reads;
    sum->torn += one->torn;
    sum->mixed += one->mixed;
    sum->backwards += one->backwards;
    sum->maps += one->maps;
    for (unsigned i = 0; i < ERRNOS; i++)
        sum->errors[i] += one->errors[i];
    for (unsigned i = 0; i < BUCKETS; i++)
        sum->latency[i] += one->latency[i];
    if (one->longest_ns > sum->longest_ns)
        sum->longest_ns = one->longest_ns;
    if (one->oldest < sum->oldest)
        sum->oldest = one->oldest;
    if (one->newest > sum->newest)
        sum->newest = one->newest;
    if (one->torn)
        sum->torn_why = one->torn_why;
    if (one->failed && (!sum->failed || one->failed_ms < sum->failed_ms)) {
        sum->failed_how = one->failed_how;
        sum->failed_errno = one->failed_errno;
        sum->failed_ms = one->failed_ms;
    }
    sum->failed += one->failed;
}

static uint64_t quantile_us(const struct tally *tally, unsigned per_mille)
{
    uint64_t left = tally->reads * per_mille / 1000;

    for (unsigned i = 0; i < BUCKETS; i++) {
        if (tally->latency[i] > left)
            return bucket_us(i);
        left -= tally->latency[i];
    }
    return 0;
}

static void report(const struct tally *tally)
{
    const char *comma = "";

    printf("{\"reads\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"torn\":%" PRIu64 ",\"mixed\":%" PRIu64
           ",\"backwards\":%" PRIu64 ",\"maps\":%" PRIu64 ",",
           tally->reads, tally->failed, tally->torn, tally->mixed, tally->backwards, tally->maps);
    printf("\"oldest\":%u,\"newest\":%u,\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64
           ",\"longest_ms\":%.1f,",
           tally->oldest, tally->newest, quantile_us(tally, 500), quantile_us(tally, 990),
           (double)tally->longest_ns / 1e6);
    printf("\"errors\":{");
    for (int i = 0; i < ERRNOS; i++) {
        if (tally->errors[i]) {
            printf("%s\"%s\":%" PRIu64, comma, strerrorname_np(i), tally->errors[i]);
            comma = ",";
        }
    }
    printf("},\"torn_why\":\"%s\",", tally->torn_why ? tally->torn_why : "");
    printf("\"first_failure\":\"%s%s%s%s%" PRIu64 " ms\"}\n",
           tally->failed ? tally->failed_how : "none", tally->failed ? ": " : "",
           tally->failed ? strerrorname_np(tally->failed_errno) : "",
           tally->failed ? " at " : " in ",
           tally->failed ? tally->failed_ms : (tool_now_ns() - started_ns) / 1000000);
}

static void parse(int argc, char **argv, struct options *options)
{
    int option;

    while ((option = getopt(argc, argv, "n:t:p:f:")) != -1) {
        if (option == 'n')
            options->threads = tool_number(optarg);
        else if (option == 't')
            options->run_ms = tool_number(optarg);
        else if (option == 'p')
            options->pause_us = tool_number(optarg);
        else if (option == 'f' && options->field_count < FIELDS)
            options->fields[options->field_count++] = optarg;
        else
            tool_die("usage: reader [-n THREADS] [-t MS] [-p PAUSE_US] [-f FIELD]… PATH…");
    }
    options->paths = argv + optind;
    options->path_count = (size_t)(argc - optind);
    if (!options->path_count || options->path_count > PATHS || !options->threads)
        tool_die("reader: no path, too many, or no thread");
}

static void start(struct reader *reader, const struct options *options, unsigned number)
{
    reader->options = options;
    reader->number = number;
    reader->tally.oldest = UINT32_MAX;
    if (pthread_create(&reader->thread, NULL, run, reader) != 0)
        tool_die("reader: cannot start thread %u", number);
}

int main(int argc, char **argv)
{
    struct options options = {.threads = 1, .run_ms = 1000};
    struct tally sum = {.oldest = UINT32_MAX};
    struct sigaction term = {.sa_handler = on_term};
    struct reader *readers;

    parse(argc, argv, &options);
    sigaction(SIGTERM, &term, NULL);
    readers = calloc(options.threads, sizeof *readers);
    if (!readers)
        tool_die("reader: no memory");
    started_ns = tool_now_ns();
    for (unsigned i = 0; i < options.threads; i++)
        start(&readers[i], &options, i);
    for (unsigned i = 0; i < options.threads; i++) {
        pthread_join(readers[i].thread, NULL);
        add(&sum, &readers[i].tally);
    }
    free(readers);
    report(&sum);
    return 0;
}
