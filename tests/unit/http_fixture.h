/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_fixture.h - tests/fakes/evil_http.py as a child of the test, and calls to it. The servers
 * are in another process, so that what stays in this one's memory is the client's doing.
 */
#ifndef HUSH_TEST_HTTP_FIXTURE_H
#define HUSH_TEST_HTTP_FIXTURE_H

#include "core/arena.h"
#include "core/clock.h"
#include "core/op.h"
#include "shared/http.h"
#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

enum { FIXTURE_TIMEOUT_MS = 20000, FIXTURE_ARENA = 4 << 20 };

struct fixture {
    char dir[32];
    char ports[512]; /* "NAME=PORT …" */
    pid_t pid;
    int stdin_fd;
    struct hush_arena *arena;
    struct hush_http *http; /* with the authority of the fixture's certificates */
    char ca_file[64];
};

static inline void fixture_read_ports(struct fixture *f, int fd)
{
    size_t size = 0;
    ssize_t n;

    f->ports[size++] = ' ';
    while ((n = read(fd, f->ports + size, sizeof(f->ports) - 1 - size)) > 0) {
        size += (size_t)n;
        if (f->ports[size - 1] == '\n')
            break;
    }
    f->ports[size] = '\0';
    (void)close(fd);
}

static inline void fixture_exec(const struct fixture *f, int in, int out)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
        (void)execl("/usr/bin/python3", "python3", "-W", "ignore",
                    HUSH_SOURCE_DIR "/tests/fakes/evil_http.py", f->dir, (char *)NULL);
    _exit(127);
}

static inline bool fixture_start(struct fixture *f)
{
    int in[2], out[2];

    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_http_XXXXXX");
    if (mkdtemp(f->dir) == NULL || pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return false;
    f->pid = fork();
    if (f->pid == 0)
        fixture_exec(f, in[0], out[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    f->stdin_fd = in[1];
    fixture_read_ports(f, out[0]);
    return f->pid > 0 && strchr(f->ports, '\n') != NULL;
}

static inline int fixture_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void fixture_stop(struct fixture *f)
{
    (void)close(f->stdin_fd);
    (void)waitpid(f->pid, NULL, 0);
    (void)nftw(f->dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* 0: no such server here. */
static inline unsigned fixture_port(const struct fixture *f, const char *name)
{
    char key[32];
    const char *at;

    (void)snprintf(key, sizeof(key), " %s=", name);
    at = strstr(f->ports, key);
    return at == NULL ? 0 : (unsigned)strtoumax(at + strlen(key), NULL, 10);
}

static inline struct hush_http *fixture_client(const struct hush_http_config *config)
{
    struct hush_http *http = NULL;
    struct hush_op op;

    hush_op_init(&op, NULL, 0);
    return hush_http_new(&op, config, &http) == HUSH_OK ? http : NULL;
}

static inline int fixture_set_up(void **state)
{
    static struct fixture f;
    const struct hush_http_config config = {.ca_file = f.ca_file};

    if (!fixture_start(&f))
        return 1;
    (void)snprintf(f.ca_file, sizeof(f.ca_file), "%s/ca.pem", f.dir);
    f.arena = hush_arena_new(FIXTURE_ARENA);
    f.http = fixture_client(&config);
    *state = &f;
    return f.arena == NULL || f.http == NULL;
}

static inline int fixture_tear_down(void **state)
{
    struct fixture *f = *state;

    hush_http_free(f->http);
    hush_arena_free(f->arena);
    fixture_stop(f);
    return 0;
}

/* -- Calls ------------------------------------------------------------------------------------- */

struct call {
    struct hush_op op;
    struct hush_http_answer answer;
    enum hush_status status;
    unsigned ms; /* how long it took */
};

/* A call of url, or of a path at the plain server; http NULL: the fixture's client. */
static inline void call_request(struct call *call, const struct fixture *f, struct hush_http *http,
                                const struct hush_http_request *request, uint32_t timeout_ms)
{
    struct hush_http_request whole = *request;
    uint64_t start_ns;
    char url[2048];

    if (request->url[0] == '/') {
        (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", fixture_port(f, "plain"),
                       request->url);
        whole.url = url;
    }
    memset(&call->answer, 0, sizeof(call->answer));
    hush_op_init(&call->op, f->arena, timeout_ms);
    start_ns = hush_now_ns();
    call->status = hush_http_call(http == NULL ? f->http : http, &call->op, &whole, &call->answer);
    call->ms = (unsigned)((hush_now_ns() - start_ns) / HUSH_NS_PER_MS);
    if (call->status != HUSH_OK)
        assert_null(call->answer.body); /* written only on success */
}

static inline void call_get(struct call *call, const struct fixture *f, const char *url)
{
    call_request(call, f, NULL, &(const struct hush_http_request){.method = "GET", .url = url},
                 FIXTURE_TIMEOUT_MS);
}

static inline void expect_call(const struct call *call, enum hush_status status, const char *detail)
{
    if (call->status != status)
        fail_msg("%s, not %s: %s", hush_status_name(call->status), hush_status_name(status),
                 call->op.detail);
    if (strstr(call->op.detail, detail) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", call->op.detail, detail);
    assert_null(strstr(call->op.detail, "CANARY"));
}

static inline void expect_body(const struct fixture *f, const char *url, const char *body)
{
    struct call call;

    call_get(&call, f, url);
    expect_call(&call, HUSH_OK, "");
    assert_int_equal(call.answer.code, 200);
    assert_string_equal(call.answer.body, body);
    assert_int_equal(call.answer.size, strlen(body));
    hush_http_answer_clear(&call.answer);
    assert_null(call.answer.body);
}

/* One of the server's counters. */
static inline unsigned fixture_count(const struct fixture *f, const char *name)
{
    unsigned count;
    char path[64];
    struct call call;

    (void)snprintf(path, sizeof(path), "/count/%s", name);
    call_get(&call, f, path);
    expect_call(&call, HUSH_OK, "");
    count = (unsigned)strtoumax(call.answer.body, NULL, 10);
    hush_http_answer_clear(&call.answer);
    return count;
}

#endif
