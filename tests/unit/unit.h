/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit.h - what every unit test includes: cmocka in the order it wants, and running something in a
 * process of its own (where cmocka's asserts must not be used: return a number instead).
 */
#ifndef HUSH_UNIT_H
#define HUSH_UNIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* In a child, instead of cmocka's asserts: say what does not hold, and end. */
#define CHECK(condition) check_true((condition), __FILE__, __LINE__, #condition)

static inline void check_true(bool holds, const char *file, int line, const char *text)
{
    if (holds)
        return;
    (void)fprintf(stderr, "%s:%d: not true: %s\n", file, line, text);
    _exit(1);
}

/* Run fn(ctx) in a child; its result, or 128 + the signal that ended it. */
static inline int in_child(int (*fn)(void *ctx), void *ctx)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL); /* else the child writes it again */
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(ctx));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The same every time: a test that fails must fail again. */
static inline uint64_t unit_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
