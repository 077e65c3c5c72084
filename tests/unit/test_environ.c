/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_environ.c - the environment moves into locked memory and leaves no trace. The part that
 * needs an environment from the kernel runs in this program, executed again.
 */
#include "core/environ.h"
#include "core/lockmem.h"
#include "memscan.h"
#include "seccomp.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

enum { NEEDLE_SIZE = 64, MANY = 5000 };

static unsigned char needle(size_t position)
{
    return (
        unsigned char)("abcdefghijklmnopqrstuvwxyz0123456789"[(position * 11 + position / 7) % 36]);
}

/* -- Run with a given environment -------------------------------------------------------------- */

static bool stays(const char *entry)
{
    static const char *const names[] = {"PATH=", "HOME=", "LANG=", "LC_", "TERM=", "TZ=", "USER="};

    for (size_t i = 0; i < COUNT(names); i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The whole of /proc/self/environ has nothing but zeros and what stays. */
static void check_proc_environ(void)
{
    static char bytes[1 << 20];
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t n = 0, got;
    unsigned entries = 0;

    CHECK(fd >= 0);
    while ((got = read(fd, bytes + n, sizeof(bytes) - (size_t)n)) > 0)
        n += got;
    close(fd);
    CHECK(n > 0);
    for (char *p = bytes; p < bytes + n; p += strlen(p) + 1) {
        CHECK(*p == '\0' || stays(p));
        entries += *p != '\0';
    }
    CHECK(entries == 8);
}

struct order {
    const char *expected[4];
    size_t count;
};

static int in_order(void *ctx, const char *name, const char *value)
{
    struct order *order = ctx;

    (void)value; /* checked elsewhere */
    if (order->count == COUNT(order->expected) || strcmp(order->expected[order->count], name) != 0)
        return 7;
    order->count++;
    return order->count == COUNT(order->expected) ? 3 : 0;
}

static bool has(const struct hush_environ *env, const char *name, const char *value)
{
    const char *text = hush_environ_get(env, name);

    return text != NULL && strcmp(text, value) == 0;
}

static void check_many(const struct hush_environ *env)
{
    const char *text = hush_environ_get(env, "CANARY");
    char name[32], value[32];

    CHECK(text != NULL && strlen(text) == NEEDLE_SIZE);
    for (size_t i = 0; i < NEEDLE_SIZE; i++)
        CHECK((unsigned char)text[i] == needle(i));
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "MANY_%d", i);
        (void)snprintf(value, sizeof(value), "%d", i * 3);
        CHECK(has(env, name, value));
    }
}

/* See make_environment() for what is in it. */
static void check_captured(const struct hush_environ *env)
{
    struct order order = {.expected = {"PATH", "CANARY", "EMPTY", "TWICE"}};

    CHECK(has(env, "EMPTY", ""));
    CHECK(has(env, "TWICE", "first"));
    CHECK(has(env, "EQUALS", "a=b==c="));
    CHECK(has(env, "PATH", "/bin:/usr/bin"));
    CHECK(has(env, "BINARY", "\x01\xff\n"));
    CHECK(hush_environ_get(env, "NOPAIR") == NULL);
    CHECK(hush_environ_get(env, "") == NULL);
    CHECK(hush_environ_get(env, "CANAR") == NULL);
    CHECK(hush_environ_get(env, "CANARYX") == NULL);
    CHECK(hush_environ_each(env, in_order, &order) == 3);
    check_many(env);
}

static int captured(void)
{
    struct hush_environ *env;
    int fd;

    CHECK(!memscan_works() || memscan_count(needle, NEEDLE_SIZE) > 0); /* the scan can see it */
    fd = hush_environ_capture();
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(!memscan_works() || memscan_count(needle, NEEDLE_SIZE) == 0);
    check_proc_environ();
    CHECK(secure_getenv("CANARY") == NULL);
    CHECK(secure_getenv("PATHX") == NULL);
    CHECK(strcmp(secure_getenv("PATH"), "/bin:/usr/bin") == 0);
    CHECK(strcmp(secure_getenv("LC_ALL"), "C") == 0);

    env = hush_environ_map(fd);
    CHECK(env != NULL);
    CHECK(close(fd) == 0);
    check_captured(env);
    hush_environ_free(env);
    return 0;
}

static int nothing_to_capture(void)
{
    struct hush_environ *env;
    int fd;

    clearenv(); /* environ is NULL now */
    fd = hush_environ_capture();
    CHECK(fd >= 0);
    env = hush_environ_map(fd);
    CHECK(env != NULL && hush_environ_get(env, "PATH") == NULL);
    hush_environ_free(env);
    return 0;
}

static int cannot_capture(void)
{
    struct rlimit before, limit;

    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    limit = before;
    limit.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(hush_environ_capture() == -EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(strcmp(secure_getenv("TWICE"), "first") == 0);
    CHECK(secure_getenv("CANARY") != NULL);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} runs[] = {
    {"captured", captured},
    {"nothing", nothing_to_capture},
    {"cannot", cannot_capture},
};

/* -- The parent's side ------------------------------------------------------------------------- */

static char **make_environment(void)
{
    static const char *const fixed[] = {
        "PATH=/bin:/usr/bin", "CANARY=",   "EMPTY=",     "TWICE=first",
        "TWICE=second",       "NOPAIR",    "=x",         "EQUALS=a=b==c=",
        "BINARY=\x01\xff\n",  "PATHX=1",   "HOME=/root", "LANG=C",
        "LC_ALL=C",           "LC_TIME=C", "TERM=dumb",  "TZ=UTC",
        "USER=root",          "LCX=1",     "HOM=1",      "",
    };
    char **list = calloc(COUNT(fixed) + MANY + 1, sizeof(list[0]));
    size_t count = 0;

    assert_non_null(list);
    for (; count < COUNT(fixed); count++)
        list[count] = strdup(fixed[count]);
    free(list[1]);
    list[1] = calloc(1, NEEDLE_SIZE + 8);
    memcpy(list[1], "CANARY=", 7);
    for (size_t i = 0; i < NEEDLE_SIZE; i++)
        list[1][7 + i] = (char)needle(i);
    for (int i = 0; i < MANY; i++)
        assert_true(asprintf(&list[count++], "MANY_%d=%d", i, i * 3) > 0);
    return list;
}

struct command {
    char name[16];
    char program[16];
    bool refuse;
};

static int execute(void *ctx)
{
    struct command *command = ctx;
    char *argv[] = {command->program, command->name, NULL};

    if (command->refuse)
        CHECK(refuse_memfd_secret(ENOSYS));
    execve("/proc/self/exe", argv, make_environment());
    return 1;
}

static void the_environment_moves_and_leaves_no_trace(void **state)
{
    struct command command = {.name = "captured", .program = "test_environ"};

    (void)state; /* none */
    assert_int_equal(in_child(execute, &command), 0);
    command.refuse = true;
    assert_int_equal(in_child(execute, &command), 0);
}

static void no_environment_is_an_empty_one(void **state)
{
    struct command command = {.name = "nothing", .program = "test_environ"};

    (void)state; /* none */
    assert_int_equal(in_child(execute, &command), 0);
}

static void a_failure_changes_nothing(void **state)
{
    struct command command = {.name = "cannot", .program = "test_environ"};

    (void)state; /* none */
    assert_int_equal(in_child(execute, &command), 0);
}

/* Refuse, or at least survive, whatever the memory holds. */
static void what_is_no_environment_is_refused(void **state)
{
    int fd = hush_lockmem_create("hushfs-test", 4096);
    struct hush_environ *env;
    uint32_t *words;
    size_t size;

    (void)state; /* none */
    assert_null(hush_environ_map(fd));
    assert_int_equal(errno, EINVAL);
    words = hush_lockmem_map(fd, &size);
    words[0] = 0x48534531; /* the magic; then count; then size */
    words[1] = 1;
    words[2] = 19;
    memcpy(words + 4, "AB", 3);
    assert_null(hush_environ_map(fd)); /* no value */
    words[2] = 20;
    env = hush_environ_map(fd);
    assert_non_null(env);
    assert_string_equal(hush_environ_get(env, "AB"), "");
    hush_environ_free(env);
    words[2] = 4097;
    assert_null(hush_environ_map(fd));
    words[2] = 8;
    assert_null(hush_environ_map(fd));
    words[2] = 4096;
    words[1] = UINT32_MAX;
    assert_null(hush_environ_map(fd));
    words[1] = 4096;
    assert_null(hush_environ_map(fd)); /* 4080 zeros are 2040 variables */
    hush_lockmem_unmap(words, size);
    close(fd);
    assert_null(hush_environ_map(-1));
    assert_int_equal(errno, EBADF);
    hush_environ_free(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_moves_and_leaves_no_trace),
        cmocka_unit_test(no_environment_is_an_empty_one),
        cmocka_unit_test(a_failure_changes_nothing),
        cmocka_unit_test(what_is_no_environment_is_refused),
    };

    for (size_t i = 0; argc == 2 && i < COUNT(runs); i++)
        if (strcmp(argv[1], runs[i].name) == 0)
            return runs[i].run();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
