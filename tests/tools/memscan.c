// SPDX-License-Identifier: Apache-2.0
/*
 * memscan.c - how many copies of a needle another process holds in its memory.
 *
 *     memscan [-f FD] PID <needle-xored-with-0x55
 *
 * Reads every readable mapping of PID, and with -f the whole memory behind its descriptor FD as
 * well (taken with pidfd_getfd(2) and mapped here, for memory that /proc does not show:
 * memfd_secret). Prints JSON: whole copies; fragments (its four quarters, each counted wherever it
 * stands); bytes that were scanned, and that could not be read. The needle stands nowhere in clear,
 * so that a scan of this program or of its pipe finds nothing.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MASK = 0x55, NEEDLE_MAX = 256, QUARTERS = 4, CHUNK = 1 << 20, PAGE = 4096 };

static struct needle {
    unsigned char masked[NEEDLE_MAX];
    size_t size;
} needle;

static struct found {
    uint64_t whole, fragments, scanned, unreadable;
} found;

static bool same(const unsigned char *at, size_t from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((at[i] ^ MASK) != needle.masked[from + i])
            return false;
    }
    return true;
}

/* Count in bytes what begins in its first count bytes; the rest up to size is overlap. */
static void scan(const unsigned char *bytes, size_t count, size_t size)
{
    size_t quarter = needle.size / QUARTERS;

    for (size_t i = 0; i < count; i++) {
        if (size - i >= needle.size && same(bytes + i, 0, needle.size))
            found.whole++;
        for (size_t q = 0; q < QUARTERS && size - i >= quarter; q++)
            found.fragments += same(bytes + i, q * quarter, quarter);
    }
    found.scanned += count;
}

static void scan_range(int mem, uint64_t from, uint64_t to)
{
    static unsigned char buffer[CHUNK + NEEDLE_MAX];

    while (from < to) {
        size_t count = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
        size_t want = to - from < sizeof buffer ? (size_t)(to - from) : sizeof buffer;
        ssize_t got = pread(mem, buffer, want, (off_t)from);

        if (got <= 0) { /* memfd_secret, or gone meanwhile: go on behind it */
            count = count < PAGE ? count : PAGE;
            found.unreadable += count;
        } else {
            count = (size_t)got < count ? (size_t)got : count;
            scan(buffer, count, (size_t)got);
        }
        from += count;
    }
}

/* Scan the runs of pages that are present (or swapped out) in [from, to). */
static void scan_mapping(int mem, int pagemap, uint64_t from, uint64_t to)
{
    uint64_t begin = to; /* of the run; to: none */

    for (uint64_t at = from; at < to; at += PAGE) {
        uint64_t entry = 0;
        off_t offset = (off_t)(at / PAGE * sizeof entry);
        bool there = pread(pagemap, &entry, sizeof entry, offset) == sizeof entry && entry >> 62;

        if (there && begin == to)
            begin = at;
        if (!there && begin != to) {
            scan_range(mem, begin, at);
            begin = to;
        }
    }
    scan_range(mem, begin, to);
}

static uint64_t hex(const char *text, const char **end)
{
    uint64_t value = 0;

    for (; *text; text++) {
        static const char all[] = "0123456789abcdef";
        const char *at = strchr(all, *text);

        if (!at)
            break;
        value = value * 16 + (uint64_t)(at - all);
    }
    *end = text;
    return value;
}

static int open_proc(const char *pid, const char *file)
{
    char name[64];
    int fd;

    (void)snprintf(name, sizeof name, "/proc/%s/%s", pid, file);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        tool_die("memscan: %s: %s", name, strerror(errno));
    return fd;
}

static void scan_process(const char *pid)
{
    char line[4352];
    int mem = open_proc(pid, "mem");
    int pagemap = open_proc(pid, "pagemap");
    FILE *maps = fdopen(open_proc(pid, "maps"), "r");

    while (maps && fgets(line, sizeof line, maps)) {
        const char *at;
        uint64_t from = hex(line, &at);
        uint64_t to = hex(at + 1, &at);

        if (at[1] == 'r' && !strstr(line, "[vvar") && !strstr(line, "[vsyscall"))
            scan_mapping(mem, pagemap, from, to);
    }
    if (maps)
        (void)fclose(maps);
    close(pagemap);
    close(mem);
}

/* The resident runs of map; resident is mincore(2)'s. */
static void scan_resident(const unsigned char *map, const unsigned char *resident, size_t pages)
{
    for (size_t i = 0; i < pages;) {
        size_t end = i;

        while (end < pages && (resident[end] & 1))
            end++;
        scan(map + i * PAGE, (end - i) * PAGE, (end - i) * PAGE);
        i = end + 1;
    }
}

static void scan_descriptor(unsigned pid, unsigned number)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    unsigned char *resident;
    struct stat stat;
    size_t pages;
    void *map;

    if (fd < 0 || fstat(fd, &stat) < 0)
        tool_die("memscan: descriptor %u of %u: %s", number, pid, strerror(errno));
    pages = (size_t)stat.st_size / PAGE;
    map = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    resident = calloc(1, pages);
    if (map == MAP_FAILED || !resident || mincore(map, pages * PAGE, resident) < 0)
        tool_die("memscan: mapping descriptor %u of %u: %s", number, pid, strerror(errno));
    scan_resident(map, resident, pages);
    free(resident);
    munmap(map, pages * PAGE);
    close(fd);
    close(pidfd);
}

int main(int argc, char **argv)
{
    int descriptor = -1;
    int option;
    ssize_t got;

    while ((option = getopt(argc, argv, "f:")) != -1) {
        if (option != 'f')
            tool_die("usage: memscan [-f FD] PID");
        descriptor = (int)tool_number(optarg);
    }
    if (optind + 1 != argc)
        tool_die("usage: memscan [-f FD] PID");
    got = read(STDIN_FILENO, needle.masked, sizeof needle.masked);
    if (got < 16)
        tool_die("memscan: the needle is shorter than 16 bytes");
    needle.size = (size_t)got;
    scan_process(argv[optind]);
    if (descriptor >= 0)
        scan_descriptor(tool_number(argv[optind]), (unsigned)descriptor);
    printf("{\"whole\":%" PRIu64 ",\"fragments\":%" PRIu64 ",\"scanned\":%" PRIu64
           ",\"unreadable\":%" PRIu64 "}\n",
           found.whole, found.fragments, found.scanned, found.unreadable);
    return 0;
}
