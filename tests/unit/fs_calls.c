/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_calls.c - see fs_kernel.h: single requests, what programs do, and the backend's directory.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* -- Requests ---------------------------------------------------------------------------------- */

/* 0 and the body's beginning, or the errno. */
static int finish(struct kernel *k, uint64_t unique, void *out, size_t size)
{
    const struct kernel_reply *r = kernel_wait(k, unique);

    if (r->error == 0 && out != NULL) {
        assert_int_equal(r->size, size);
        memcpy(out, r->body, size);
    }
    return r->error;
}

/* n more lookups of ino, or fewer. */
static void count_lookups(struct kernel *k, uint64_t ino, int64_t n)
{
    size_t i = 0;

    while (i < KNOWN - 1 && k->known[i].ino != ino && k->known[i].ino != 0)
        i++;
    assert_true(i < KNOWN - 1);
    k->known[i].ino = ino;
    if (n < 0 && k->known[i].lookups < (uint64_t)-n)
        n = -(int64_t)k->known[i].lookups;
    k->known[i].lookups += (uint64_t)n;
}

int kernel_lookup(struct kernel *k, uint32_t tid, uint64_t parent, const char *name,
                  struct fuse_entry_out *out)
{
    struct fuse_entry_out entry;
    int err = finish(k, kernel_send(k, FUSE_LOOKUP, parent, tid, name, strlen(name) + 1), &entry,
                     sizeof(entry));

    if (err != 0)
        return err;
    count_lookups(k, entry.nodeid, 1);
    if (out != NULL)
        *out = entry;
    return 0;
}

uint64_t kernel_send_getattr(struct kernel *k, uint32_t tid, uint64_t ino)
{
    const struct fuse_getattr_in in = {0};

    return kernel_send(k, FUSE_GETATTR, ino, tid, &in, sizeof(in));
}

int kernel_getattr(struct kernel *k, uint32_t tid, uint64_t ino, struct fuse_attr_out *out)
{
    return finish(k, kernel_send_getattr(k, tid, ino), out, sizeof(*out));
}

static uint64_t send_open(struct kernel *k, uint32_t opcode, uint32_t tid, uint64_t ino)
{
    const struct fuse_open_in in = {.flags = O_RDONLY};

    return kernel_send(k, opcode, ino, tid, &in, sizeof(in));
}

uint64_t kernel_send_open(struct kernel *k, uint32_t tid, uint64_t ino)
{
    return send_open(k, FUSE_OPEN, tid, ino);
}

int kernel_open(struct kernel *k, uint32_t tid, uint64_t ino, struct fuse_open_out *out)
{
    return finish(k, kernel_send_open(k, tid, ino), out, sizeof(*out));
}

int kernel_opendir(struct kernel *k, uint32_t tid, uint64_t ino, struct fuse_open_out *out)
{
    return finish(k, send_open(k, FUSE_OPENDIR, tid, ino), out, sizeof(*out));
}

/* A piece of what is read; the reply's error is that of the call. */
static const struct kernel_reply *read_piece(struct kernel *k, uint32_t opcode,
                                             const struct kernel_file *file, uint64_t offset,
                                             uint32_t size)
{
    const struct fuse_read_in in = {.fh = file->fh, .offset = offset, .size = size};

    return kernel_wait(k, kernel_send(k, opcode, file->ino, TID, &in, sizeof(in)));
}

const char *kernel_read(struct kernel *k, uint64_t ino, uint64_t fh)
{
    const struct kernel_file file = {.ino = ino, .fh = fh};
    size_t used = 0;

    for (;;) {
        const struct kernel_reply *r = read_piece(k, FUSE_READ, &file, used, 32768);

        if (r->error != 0)
            return strerrorname_np(r->error);
        assert_true(used + r->size < sizeof(k->text));
        memcpy(k->text + used, r->body, r->size);
        used += r->size;
        if (r->size == 0)
            break;
    }
    k->text[used] = '\0';
    return k->text;
}

/* Append a piece's names; the offset of the last, or 0: there was none. */
static uint64_t add_names(struct kernel *k, const struct kernel_reply *r)
{
    uint64_t offset = 0;

    for (size_t at = 0; at < r->size;) {
        const struct fuse_dirent *d = (const struct fuse_dirent *)(r->body + at);
        size_t used = strlen(k->text);

        if (d->name[0] != '.' || d->namelen > 2)
            (void)snprintf(k->text + used, sizeof(k->text) - used, "%s%.*s%s", used > 0 ? " " : "",
                           (int)d->namelen, d->name, d->type == S_IFDIR >> 12 ? "/" : "");
        assert_true(d->ino != 0 && d->off > offset);
        offset = d->off;
        at += FUSE_DIRENT_SIZE(d);
    }
    return offset;
}

const char *kernel_readdir(struct kernel *k, uint64_t ino, uint64_t fh)
{
    const struct kernel_file file = {.ino = ino, .fh = fh};
    uint64_t offset = 0, next;

    k->text[0] = '\0';
    do {
        /* Small, so that even short listings come in pieces. */
        const struct kernel_reply *r = read_piece(k, FUSE_READDIR, &file, offset, 100);

        if (r->error != 0)
            return strerrorname_np(r->error);
        next = add_names(k, r);
        offset = next != 0 ? next : offset;
    } while (next != 0);
    return k->text;
}

int kernel_release(struct kernel *k, uint32_t opcode, uint64_t ino, uint64_t fh)
{
    const struct fuse_release_in in = {.fh = fh};

    return finish(k, kernel_send(k, opcode, ino, TID, &in, sizeof(in)), NULL, 0);
}

void kernel_forget(struct kernel *k, uint64_t ino, uint64_t n)
{
    const struct fuse_forget_in in = {.nlookup = n};

    (void)kernel_send(k, FUSE_FORGET, ino, 0, &in, sizeof(in)); /* it has no answer */
    count_lookups(k, ino, -(int64_t)n);
}

void kernel_forget_all(struct kernel *k)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (k->known[i].lookups > 0)
            kernel_forget(k, k->known[i].ino, k->known[i].lookups);
    memset(k->known, 0, sizeof(k->known));
}

int kernel_rename(struct kernel *k, uint32_t tid, uint64_t parent, const char *from, const char *to,
                  uint32_t flags)
{
    struct fuse_rename2_in in = {.newdir = parent, .flags = flags};
    char body[sizeof(in) + 600];
    size_t n = sizeof(in);

    memcpy(body, &in, sizeof(in));
    n += 1 + (size_t)snprintf(body + n, 300, "%s", from);
    n += 1 + (size_t)snprintf(body + n, 300, "%s", to);
    return finish(k, kernel_send(k, FUSE_RENAME2, parent, tid, body, n), NULL, 0);
}

void kernel_interrupt(struct kernel *k, uint64_t unique)
{
    const struct fuse_interrupt_in in = {.unique = unique};

    (void)kernel_send(k, FUSE_INTERRUPT, 0, 0, &in, sizeof(in)); /* it has no answer */
}

const char *kernel_xattr(struct kernel *k, uint64_t ino, const char *name)
{
    const struct fuse_getxattr_in in = {.size = 1024};
    const struct kernel_reply *r;
    char body[sizeof(in) + 100];
    size_t n = sizeof(in);

    memcpy(body, &in, sizeof(in));
    n += 1 + (size_t)snprintf(body + n, 100, "%s", name);
    r = kernel_wait(k, kernel_send(k, FUSE_GETXATTR, ino, TID, body, n));
    return r->error != 0 ? strerrorname_np(r->error) : (const char *)r->body;
}

/* -- The control file -------------------------------------------------------------------------- */

uint64_t kernel_send_control(struct kernel *k, unsigned long command, const char *path)
{
    struct {
        struct fuse_ioctl_in in;
        struct hush_control control;
    } body = {.in = {.cmd = (uint32_t)command,
                     .in_size = sizeof(body.control),
                     .out_size = sizeof(body.control)}};

    (void)snprintf(body.control.path, sizeof(body.control.path), "%s", path);
    return kernel_send(k, FUSE_IOCTL, kernel_ino(k, HUSH_CONTROL_FILE), TID, &body, sizeof(body));
}

const struct hush_control *kernel_control(struct kernel *k, uint64_t unique)
{
    const struct kernel_reply *r = kernel_wait(k, unique);

    assert_int_equal(r->error, 0);
    assert_int_equal(r->size, sizeof(struct fuse_ioctl_out) + sizeof(struct hush_control));
    return (const struct hush_control *)(r->body + sizeof(struct fuse_ioctl_out));
}

/* -- What programs do -------------------------------------------------------------------------- */

/* tries: how often a name is looked up. */
static int walk_once(struct kernel *k, uint32_t tid, const char *path, int tries,
                     struct fuse_entry_out *out)
{
    int err = 0;
    char name[300];

    *out = (struct fuse_entry_out){.nodeid = ROOT, .attr.mode = S_IFDIR};
    while (*path != '\0' && err == 0) {
        size_t n = strcspn(path, "/");
        uint64_t parent = out->nodeid;

        (void)snprintf(name, sizeof(name), "%.*s", (int)n, path);
        for (int i = 0; i < tries && err == 0; i++)
            err = kernel_lookup(k, tid, parent, name, out);
        /* To go in or to open it the kernel checks its permissions. */
        if (err == 0 && out->attr_valid == 0 && out->attr_valid_nsec == 0) {
            struct fuse_attr_out attr;

            err = kernel_getattr(k, tid, out->nodeid, &attr);
            if (err == 0)
                out->attr = attr.attr;
        }
        path += n + (path[n] == '/');
    }
    return err;
}

int kernel_walk(struct kernel *k, uint32_t tid, const char *path, struct fuse_entry_out *out)
{
    int err = walk_once(k, tid, path, 1, out);

    return err == ESTALE ? walk_once(k, tid, path, 2, out) : err;
}

uint64_t kernel_ino(struct kernel *k, const char *path)
{
    struct fuse_entry_out out;

    assert_int_equal(kernel_walk(k, TID, path, &out), 0);
    return out.nodeid;
}

uint64_t kernel_send_stat(struct kernel *k, uint32_t tid, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[300];
    struct fuse_entry_out out = {.nodeid = ROOT};
    uint64_t unique;

    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    assert_int_equal(kernel_walk(k, tid, parent, &out), 0);
    assert_int_equal(kernel_lookup(k, tid, out.nodeid, slash + 1, &out), 0);
    assert_int_equal(out.attr_valid, 0);
    unique = kernel_send_getattr(k, tid, out.nodeid);
    (void)kernel_answered(k, unique);
    return unique;
}

static int open_once(struct kernel *k, uint32_t tid, const struct fuse_entry_out *entry,
                     uint32_t opcode, struct kernel_file *file)
{
    struct fuse_open_out out;
    int err = finish(k, send_open(k, opcode, tid, entry->nodeid), &out, sizeof(out));

    if (err == 0)
        *file = (struct kernel_file){.ino = entry->nodeid, .fh = out.fh, .flags = out.open_flags};
    return err;
}

static int open_path(struct kernel *k, uint32_t tid, const char *path, uint32_t opcode,
                     struct kernel_file *file)
{
    struct fuse_entry_out entry;
    int err = ESTALE;

    for (int tries = 1; tries <= 2 && err == ESTALE; tries++) {
        err = walk_once(k, tid, path, tries, &entry);
        if (err == 0 && opcode == FUSE_OPENDIR && !S_ISDIR(entry.attr.mode))
            return ENOTDIR;
        if (err == 0)
            err = open_once(k, tid, &entry, S_ISDIR(entry.attr.mode) ? FUSE_OPENDIR : opcode, file);
    }
    if (err != 0 || opcode == FUSE_OPENDIR || !S_ISDIR(entry.attr.mode))
        return err;
    assert_int_equal(kernel_release(k, FUSE_RELEASEDIR, file->ino, file->fh), 0);
    return EISDIR; /* of read(2) */
}

int kernel_open_path(struct kernel *k, uint32_t tid, const char *path, struct kernel_file *file)
{
    return open_path(k, tid, path, FUSE_OPEN, file);
}

const char *kernel_cat(struct kernel *k, uint32_t tid, const char *path)
{
    struct kernel_file file;
    const char *text;
    int err = open_path(k, tid, path, FUSE_OPEN, &file);

    if (err != 0)
        return strerrorname_np(err);
    text = kernel_read(k, file.ino, file.fh);
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    return text;
}

const char *kernel_ls(struct kernel *k, uint32_t tid, const char *path)
{
    struct kernel_file file;
    const char *text;
    int err = open_path(k, tid, path, FUSE_OPENDIR, &file);

    if (err != 0)
        return strerrorname_np(err);
    text = kernel_readdir(k, file.ino, file.fh);
    assert_int_equal(kernel_release(k, FUSE_RELEASEDIR, file.ino, file.fh), 0);
    return text;
}

/* -- The backend ------------------------------------------------------------------------------- */

/* DIR/PATH+suffix, with the folders on the way. */
static const char *backend_path(const struct kernel *k, const char *path, const char *suffix)
{
    static char name[4096];

    (void)snprintf(name, sizeof(name), "%s/%s%s", k->dir, path, suffix);
    for (char *slash = strchr(name + strlen(k->dir) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(name, 0755); /* it may be there */
        *slash = '/';
    }
    return name;
}

/* Whole at once: a call sees the old or the new. */
static void write_file(const struct kernel *k, const char *name, const char *text)
{
    char temporary[128];
    FILE *f;

    (void)snprintf(temporary, sizeof(temporary), "%s/new", k->dir);
    f = fopen(temporary, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, name), 0);
}

void backend_put(struct kernel *k, const char *path, const char *value)
{
    write_file(k, backend_path(k, path, ""), value);
}

void backend_control(struct kernel *k, const char *path, const char *suffix, const char *text)
{
    const char *name = backend_path(k, path, suffix);

    if (text != NULL)
        write_file(k, name, text);
    else
        (void)unlink(name);
}

void backend_remove(struct kernel *k, const char *path)
{
    assert_int_equal(remove(backend_path(k, path, "")), 0);
}

unsigned backend_calls(struct kernel *k, const char *instance, const char *line)
{
    char name[256], text[4096];
    unsigned n = 0;
    FILE *f;

    (void)snprintf(name, sizeof(name), "%s/%s/.calls", k->dir, instance);
    f = fopen(name, "re");
    while (f != NULL && fgets(text, sizeof(text), f) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        n += line == NULL || strcmp(text, line) == 0;
    }
    if (f != NULL)
        (void)fclose(f);
    return n;
}

const char *backend_last_call(struct kernel *k, const char *instance)
{
    static char text[4096];
    char name[256];
    FILE *f;

    (void)snprintf(name, sizeof(name), "%s/%s/.calls", k->dir, instance);
    f = fopen(name, "re");
    assert_non_null(f);
    text[0] = '\0';
    while (fgets(text, sizeof(text), f) != NULL)
        text[strcspn(text, "\n")] = '\0';
    (void)fclose(f);
    return text;
}

void backend_await(struct kernel *k, const char *instance, const char *line, unsigned calls)
{
    for (int i = 0; backend_calls(k, instance, line) < calls; i++) {
        if (i > 10000)
            fail_msg("the backend was not asked: %s", line != NULL ? line : "anything");
        (void)usleep(2000);
    }
}
