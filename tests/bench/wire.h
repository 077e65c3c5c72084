/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - the operations of client.c, and where they are made: a file, or a service that answers
 * over a connection. Whatever fails ends the program: a benchmark of failures is worth nothing.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

enum { BENCH_BUFFER = 128 * 1024 };

/* Used by one thread at a time. */
struct bench_source {
    const char *path;                           /* of a file, or of the request */
    const char *header;                         /* of the request; "": none */
    size_t (*get)(struct bench_source *source); /* of a service; NULL: a file */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } address;
    int fd;        /* the connection that is kept; -1: none yet */
    unsigned next; /* first: the number of the next file */
    size_t size;   /* what it gave at first, and has to give each time; 0: not known yet */
    char *buffer;  /* BENCH_BUFFER bytes and one more */
};

/* where: as client.c's WHERE, borrowed. */
void bench_source_open(struct bench_source *source, const char *where);
/* The same place for another thread. */
void bench_source_copy(const struct bench_source *source, struct bench_source *out);
void bench_source_done(struct bench_source *source);

typedef void bench_operation(struct bench_source *source);

bench_operation *bench_operation_find(const char *name); /* NULL: there is none */

#endif
