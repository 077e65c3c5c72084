/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_config_file.c - which files are a configuration, whom they may belong to, and what of the
 * host is looked at.
 */
#include "config.h"

#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
    char dir[64];
    char told[4096]; /* "FILE:LINE: TEXT\n" of each error */
};

static void tell(void *ctx, const char *file, unsigned line, const char *text)
{
    struct fixture *f = ctx;
    const size_t used = strlen(f->told);

    (void)snprintf(f->told + used, sizeof(f->told) - used, "%s:%u: %s\n", file, line, text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/hush_config.XXXXXX");
    *state = f;
    return mkdtemp(f->dir) == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    const int result = nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);

    free(f);
    return result;
}

/* The path of a file in the fixture's directory; valid until 4 calls later. */
static const char *at(const struct fixture *f, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", f->dir, name);
    return path;
}

static void put(const struct fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(at(f, name), "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fchmod(fileno(file), 0644), 0);
    assert_int_equal(fclose(file), 0);
}

static struct hush_config *load(struct fixture *f, const char *name)
{
    f->told[0] = '\0';
    return hush_config_load(at(f, name), tell, f);
}

/* config, which must be good. */
static struct hush_config *good(const struct fixture *f, struct hush_config *config)
{
    if (config == NULL) {
        fail_msg("%s", f->told);
        abort(); /* for analyzers, which do not know that the line above never returns */
    }
    assert_string_equal(f->told, "");
    return config;
}

static void assert_loads(struct fixture *f, const char *name)
{
    hush_config_free(good(f, load(f, name)));
}

/* name is refused, with an error that begins with "DIR/FILE:LINE: ". */
static void assert_refused(struct fixture *f, const char *name, const char *file,
                           const char *expected)
{
    struct hush_config *config = load(f, name);
    char begin[512];

    assert_null(config);
    (void)snprintf(begin, sizeof(begin), "%s/%s:%s", f->dir, file, expected);
    if (strncmp(f->told, begin, strlen(begin)) != 0)
        fail_msg("'%s' begins otherwise than '%s'", f->told, begin);
}

#define GOOD "[provider/e]\ntype = env\n"

static void loads_a_file(void **state)
{
    struct fixture *f = *state;

    put(f, "c", GOOD);
    assert_loads(f, "c");
    assert_int_equal(symlink("c", at(f, "link")), 0);
    assert_loads(f, "link");
    put(f, "bad", GOOD "x = 1\n");
    assert_refused(f, "bad", "bad", "3: [provider/e]: unknown key 'x'");
}

static void refuses_what_is_no_file(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "none", "none", "0: No such file or directory\n");
    assert_null(strstr(f->told, "nothing to show")); /* that, and nothing else */
    assert_int_equal(mkdir(at(f, "d"), 0755), 0);
    assert_refused(f, "d", "d", "0: it is a directory\n");
    assert_int_equal(mkfifo(at(f, "fifo"), 0644), 0);
    assert_refused(f, "fifo", "fifo", "0: it is no regular file\n");
}

static void refuses_what_others_can_write(void **state)
{
    struct fixture *f = *state;

    put(f, "c", GOOD);
    assert_int_equal(chmod(at(f, "c"), 0664), 0);
    assert_refused(f, "c", "c", "0: others can write it: chmod go-w\n");
    assert_int_equal(chmod(at(f, "c"), 0646), 0);
    assert_refused(f, "c", "c", "0: others can write it: chmod go-w\n");
    assert_int_equal(chmod(at(f, "c"), 0600), 0);
    assert_loads(f, "c");
}

static int load_as_other(void *ctx)
{
    struct fixture *f = ctx;

    put(f, "theirs", GOOD);
    CHECK(chown(at(f, "theirs"), 54321, 54321) == 0);
    CHECK(load(f, "theirs") == NULL);
    CHECK(strstr(f->told, "theirs:0: it belongs to another user: chown it to root\n") != NULL);
    /* For that user it is his own, and root's is as good. */
    put(f, "roots", GOOD);
    CHECK(chmod(f->dir, 0755) == 0);
    CHECK(setresuid(54321, 54321, 54321) == 0);
    CHECK(load(f, "theirs") != NULL);
    CHECK(load(f, "roots") != NULL);
    return 0;
}

static void refuses_what_belongs_to_others(void **state)
{
    if (geteuid() != 0)
        skip(); /* nothing can be given away */
    assert_int_equal(in_child(load_as_other, *state), 0);
}

static void refuses_large_files(void **state)
{
    struct fixture *f = *state;

    put(f, "c", GOOD);
    assert_int_equal(truncate(at(f, "c"), (1 << 20) + 1), 0);
    assert_refused(f, "c", "c", "0: it is larger than 1 MiB\n");
}

static void adds_the_parts_in_order(void **state)
{
    struct fixture *f = *state;

    put(f, "c", GOOD);
    assert_int_equal(mkdir(at(f, "conf.d"), 0755), 0);
    put(f, "conf.d/20.conf", "[path/e/?]\nmode = 0444\n");
    put(f, "conf.d/10.conf", "[path/e/*]\nmode = 0440\n[provider/f]\ntype = env\n");
    put(f, "conf.d/README", "not read\n");
    put(f, "conf.d/30.conf~", "not read\n");
    put(f, "conf.d/.40.conf", "not read\n");
    struct hush_config *config = good(f, load(f, "c"));
    assert_int_equal(config->instance_count, 2);
    assert_int_equal(config->rule_count, 2);
    struct hush_settings settings;
    hush_config_settings(config, hush_config_instance(config, "e"), "e/a", &settings);
    assert_int_equal(settings.mode, 0444); /* as specific, and later */
    hush_config_free(config);
}

static void tells_errors_of_all_parts(void **state)
{
    struct fixture *f = *state;
    char expected[1024];

    put(f, "c", GOOD "bad = 1\n[mount]\n");
    assert_int_equal(mkdir(at(f, "conf.d"), 0755), 0);
    put(f, "conf.d/b.conf", GOOD);
    put(f, "conf.d/a.conf", "[path/e/a]\nttl = x\n[mount]\n");
    assert_int_equal(mkfifo(at(f, "conf.d/c.conf"), 0644), 0);
    assert_null(load(f, "c"));
    (void)snprintf(expected, sizeof(expected),
                   "%s/c:3: [provider/e]: unknown key 'bad': see `hushfs providers env`\n"
                   "%s/conf.d/a.conf:2: [path/e/a]: 'ttl' must be a duration such as 300, 500ms, "
                   "30s, 5m, 2h or 1d, at most 49d\n"
                   "%s/conf.d/a.conf:3: duplicate section [mount]: it stands in %s/c, line 4 "
                   "already\n"
                   "%s/conf.d/b.conf:1: duplicate section [provider/e]: it stands in %s/c, line 1 "
                   "already\n"
                   "%s/conf.d/c.conf:0: it is no regular file\n",
                   f->dir, f->dir, f->dir, f->dir, f->dir, f->dir, f->dir);
    assert_string_equal(f->told, expected);
}

static void refuses_a_directory_that_others_can_write(void **state)
{
    struct fixture *f = *state;

    put(f, "c", GOOD);
    assert_int_equal(mkdir(at(f, "conf.d"), 0755), 0);
    assert_loads(f, "c");
    assert_int_equal(chmod(at(f, "conf.d"), 0777), 0);
    assert_null(load(f, "c"));
    assert_non_null(strstr(f->told, "/conf.d beside it: others can write it"));
}

static void follows_links_below_the_mount(void **state)
{
    struct fixture *f = *state;
    char text[1024];

    assert_int_equal(mkdir(at(f, "m"), 0755), 0);
    assert_int_equal(symlink("m", at(f, "link")), 0);
    (void)snprintf(text, sizeof(text),
                   "[mount]\npath = %s/m\n[provider/f]\ntype = file\nroot = %s/link/not/there\n",
                   f->dir, f->dir);
    put(f, "c", text);
    assert_refused(f, "c", "c", "5: [provider/f]: 'root' must not be below the mount");
    /* A text that was checked is not checked against this host again. */
    hush_config_free(hush_config_parse(text, strlen(text), "x", tell, f));
    assert_non_null(strstr(f->told, "c:5:"));
    assert_null(strstr(f->told, "x:5:"));
    /* The mount point itself by another name. */
    (void)snprintf(text, sizeof(text),
                   "[mount]\npath = %s/link\n[provider/f]\ntype = file\nroot = %s/m/a\n", f->dir,
                   f->dir);
    put(f, "c", text);
    assert_refused(f, "c", "c", "5: [provider/f]: 'root' must not be below the mount");
}

static void refuses_itself_below_the_mount(void **state)
{
    struct fixture *f = *state;
    char text[1024];

    (void)snprintf(text, sizeof(text), GOOD "[mount]\npath = %s\n", f->dir);
    put(f, "c", text);
    assert_refused(f, "c", "c", "0: it must not be below the mount, which is ");
}

static void knows_users(void **state)
{
    struct fixture *f = *state;

    put(f, "c", GOOD "[mount]\nuser = no-such-user-here\n");
    assert_refused(f, "c", "c", "4: [mount]: 'user' must be a user of this system, or a uid\n");
    put(f, "c", GOOD "[mount]\nuser = root\n");
    assert_refused(f, "c", "c",
                   "4: [mount]: 'user' must not be root: the mount is served without any rights\n");
    put(f, "c", GOOD "[mount]\nuser = daemon\n");
    assert_loads(f, "c");
    put(f, "c", GOOD "[mount]\nuser = 54321\n");
    assert_loads(f, "c");
    /* A worker that reads the text again must not wait for a directory service. */
    hush_config_free(hush_config_parse(GOOD "[mount]\nuser = no-such-user-here\n",
                                       strlen(GOOD "[mount]\nuser = no-such-user-here\n"), "x",
                                       tell, f));
    assert_string_equal(f->told, "");
}

static void the_command_line_wins(void **state)
{
    struct fixture *f = *state;
    char path[] = "path", where[] = "/m", deadline[] = "deadline", three[] = "3", eleven[] = "11";
    const struct hush_pair over[] = {{path, where}, {deadline, three}};
    const struct hush_pair bad[] = {{deadline, eleven}};

    put(f, "c", "[mount]\npath = not even absolute\n[provider/f]\ntype = file\nroot = /n\n");
    struct hush_config *config = good(f, hush_config_load_over(at(f, "c"), over, 2, tell, f));
    assert_string_equal(config->mount.path, "/m");
    assert_int_equal(config->mount.deadline_ms, 3000);
    assert_int_equal(config->instances[0].timeout_ms, 3000);
    hush_config_free(config);
    put(f, "c", "[mount]\npath = /n\n[provider/f]\ntype = file\nroot = /m/x\n");
    assert_null(hush_config_load_over(at(f, "c"), over, 2, tell, f));
    assert_non_null(strstr(f->told, "c:5: [provider/f]: 'root' must not be below the mount, "
                                    "which is /m\n"));
    f->told[0] = '\0';
    assert_null(hush_config_load_over(at(f, "c"), bad, 1, tell, f));
    assert_string_equal(f->told,
                        "command line:0: 'deadline' must be more than 0 and at most 10s\n");
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(loads_a_file),
        with_fixture(refuses_what_is_no_file),
        with_fixture(refuses_what_others_can_write),
        with_fixture(refuses_what_belongs_to_others),
        with_fixture(refuses_large_files),
        with_fixture(adds_the_parts_in_order),
        with_fixture(tells_errors_of_all_parts),
        with_fixture(refuses_a_directory_that_others_can_write),
        with_fixture(follows_links_below_the_mount),
        with_fixture(refuses_itself_below_the_mount),
        with_fixture(knows_users),
        with_fixture(the_command_line_wins),
    };

    return cmocka_run_group_tests_name("config_file", tests, NULL, NULL);
}
