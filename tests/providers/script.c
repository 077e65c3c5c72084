/* SPDX-License-Identifier: Apache-2.0 */
/* script.c - see script.h: reads the control files, and notes what was called. */
#include "script.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/lockmem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TEST_DEAF_MS = 60000 };

char *test_path(const struct test_provider *test, const char *name, const char *suffix)
{
    char *path;

    return asprintf(&path, "%s/%s%s", test->dir, name, suffix) < 0 ? NULL : path;
}

bool test_exists(const struct test_provider *test, const char *name, const char *suffix)
{
    cleanup_free char *path = test_path(test, name, suffix);
    struct stat st;

    return path != NULL && stat(path, &st) == 0;
}

/* The first line of a control file; false: there is none. */
bool test_control(const struct test_provider *test, const char *name, const char *suffix,
                  char line[TEST_CONTROL_MAX])
{
    cleanup_free char *path = test_path(test, name, suffix);
    cleanup_close int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, line, TEST_CONTROL_MAX - 1);

    if (got < 0)
        return false;
    line[got] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* One write per line: O_APPEND keeps the lines of several workers apart. */
void test_log_call(const struct test_provider *test, const char *what, const char *name,
                   const char *version)
{
    cleanup_free char *path = test_path(test, ".calls", "");
    cleanup_close int fd = -1;
    cleanup_free char *line = NULL;
    int size;

    if (path == NULL)
        return;
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    size = asprintf(&line, "%s %s%s%s\n", what, name, *version != '\0' ? "#" : "", version);
    if (size < 0)
        line = NULL;
    else if (fd >= 0 && write(fd, line, (size_t)size) != size)
        hush_wipe(line, (size_t)size); /* a test that counts lines will tell */
}

void test_sleep_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * HUSH_NS_PER_MS};

    (void)nanosleep(&time, NULL);
}

enum hush_status test_check_op(struct hush_op *op)
{
    if (hush_op_canceled(op))
        return hush_fail(op, HUSH_CANCELED, "canceled");
    if (hush_op_left_ms(op) == 0)
        return hush_fail(op, HUSH_TIMEOUT, "deadline passed");
    return HUSH_OK;
}

/* Wait until ready() or, unless deaf, the op ends. */
static enum hush_status test_wait(const struct test_provider *test, struct hush_op *op,
                                  const char *name, uint64_t until_ns)
{
    const uint64_t end_ns = hush_now_ns() + TEST_DEAF_MS * (uint64_t)HUSH_NS_PER_MS;

    while (until_ns != 0 ? hush_now_ns() < until_ns : test_exists(test, name, ".hang")) {
        enum hush_status status = test_check_op(op);

        if (test_exists(test, name, ".deaf") ? hush_now_ns() >= end_ns : status != HUSH_OK)
            return status != HUSH_OK ? status : hush_fail(op, HUSH_TIMEOUT, "deaf for too long");
        test_sleep_ms(TEST_SLICE_MS);
    }
    return HUSH_OK;
}

/* The number in a control file, if there is one. */
enum hush_status test_number(const struct test_provider *test, struct hush_op *op, const char *name,
                             const char *suffix, uint64_t *out)
{
    char line[TEST_CONTROL_MAX];

    if (!test_control(test, name, suffix, line) || hush_parse_u64(line, UINT32_MAX, out))
        return HUSH_OK;
    return hush_fail(op, HUSH_CONFIG, "'%s%s' holds no number", name, suffix);
}

static enum hush_status test_scripted_error(struct hush_op *op, const char *text)
{
    for (int i = HUSH_OK + 1; i < HUSH_STATUS_COUNT; i++)
        if (strcmp(text, hush_status_name((enum hush_status)i)) == 0)
            return hush_fail(op, (enum hush_status)i, "scripted by the test");
    return hush_fail(op, HUSH_CONFIG, "'%s' is no status", text);
}

/* Everything that the control files of name say before the call does its work. */
enum hush_status test_script(const struct test_provider *test, struct hush_op *op, const char *name)
{
    char line[TEST_CONTROL_MAX];
    uint64_t delay_ms = 0, retry_ms = 0;
    enum hush_status status = test_number(test, op, name, ".delay", &delay_ms);

    if (status == HUSH_OK && delay_ms > 0)
        status = test_wait(test, op, name, hush_now_ns() + delay_ms * HUSH_NS_PER_MS);
    if (status == HUSH_OK)
        status = test_wait(test, op, name, 0);
    if (status == HUSH_OK)
        status = test_number(test, op, name, ".retry", &retry_ms);
    if (status != HUSH_OK || !test_control(test, name, ".error", line))
        return status;
    if (retry_ms != 0)
        hush_op_retry_after(op, (uint32_t)retry_ms);
    return test_scripted_error(op, line);
}
