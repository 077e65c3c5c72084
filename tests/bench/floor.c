/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.c - the floor that tests/bench/run measures against: a file system over libfuse's low level
 * that decides nothing and only replies, in the cheapest way there is with a request for each open
 * (keep_cache, noflush, cached directories, long timeouts), with the owners that hushfs shows. What
 * hushfs takes more is its own.
 *
 *     floor MOUNTPOINT      in the foreground, until SIGTERM
 *
 * It shows s/fN, a file of N bytes, and s/dN, a directory of N names (files of 32 bytes).
 */
#define FUSE_USE_VERSION 314
#include "../tools/tool.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double TIMEOUT_S = 3600;

enum { FILE_MAX = 64 * 1024, INO_DIR = 2, INO_FIRST = 16, ENTRY_SIZE = 32, WORKER_UID = 1 };

/* By node id from INO_FIRST on: id = INO_FIRST + index, and 1 << 20 times index + 1 for entries. */
static const struct item {
    const char *name;
    unsigned size; /* bytes, or names */
    bool directory;
} items[] = {
    {"f32", 32, false}, {"f4096", 4096, false}, {"f16384", 16384, false},
    {"d10", 10, true},  {"d100", 100, true},    {"d1000", 1000, true},
};
enum { ITEMS = sizeof(items) / sizeof(items[0]), ENTRIES_SHIFT = 20 };

static const char content[FILE_MAX];

static const struct item *item_of(fuse_ino_t ino)
{
    return ino >= INO_FIRST && ino < INO_FIRST + ITEMS ? &items[ino - INO_FIRST] : NULL;
}

static void attributes(fuse_ino_t ino, struct stat *st)
{
    const struct item *item = item_of(ino);

    memset(st, 0, sizeof(*st));
    st->st_ino = ino;
    st->st_nlink = 1;
    st->st_mode = S_IFREG | 0444;
    st->st_size = item != NULL ? (off_t)item->size : ENTRY_SIZE;
    if (ino == FUSE_ROOT_ID || ino == INO_DIR || (item != NULL && item->directory)) {
        st->st_mode = S_IFDIR | 0755;
        st->st_uid = WORKER_UID; /* the kernel checks more for who is not the owner */
        st->st_nlink = 2;
    }
}

/* 0: there is no such name. */
static fuse_ino_t find(fuse_ino_t parent, const char *name)
{
    const struct item *dir = item_of(parent);

    if (parent == FUSE_ROOT_ID)
        return strcmp(name, "s") == 0 ? INO_DIR : 0;
    if (dir != NULL && name[0] == 'e' && strlen(name) == 5 && strspn(name + 1, "0123456789") == 4)
        return (parent << ENTRIES_SHIFT) + tool_number(name + 1);
    for (size_t i = 0; i < ITEMS && parent == INO_DIR; i++)
        if (strcmp(items[i].name, name) == 0)
            return INO_FIRST + i;
    return 0;
}

static void floor_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
    conn->max_write = 128 * 1024;
}

static void floor_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.attr_timeout = TIMEOUT_S, .entry_timeout = TIMEOUT_S};

    entry.ino = find(parent, name);
    if (entry.ino == 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    attributes(entry.ino, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void floor_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    attributes(ino, &st);
    fuse_reply_attr(req, &st, TIMEOUT_S);
}

static void floor_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->keep_cache = 1;
    fi->noflush = 1;
    fuse_reply_open(req, fi);
}

static void floor_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    struct stat st;
    size_t left;

    (void)fi;
    attributes(ino, &st);
    left = offset < st.st_size ? (size_t)(st.st_size - offset) : 0;
    fuse_reply_buf(req, content, left < size ? left : size);
}

static void floor_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0);
}

static void floor_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->keep_cache = 1;
    fi->cache_readdir = 1;
    fuse_reply_open(req, fi);
}

static bool entry_name(fuse_ino_t dir, size_t i, char name[8])
{
    const struct item *item = item_of(dir);
    size_t count = item != NULL ? item->size : 1;

    if (dir == INO_DIR)
        count = ITEMS;
    if (item != NULL)
        (void)snprintf(name, 8, "e%04u", (unsigned)i % 10000);
    else
        (void)snprintf(name, 8, "%s", dir == INO_DIR ? items[i % ITEMS].name : "s");
    return i < count;
}

static void floor_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                          struct fuse_file_info *fi)
{
    char *bytes = malloc(size), name[8];
    size_t used = 0;

    (void)fi;
    for (size_t i = (size_t)offset; bytes != NULL && entry_name(ino, i, name); i++) {
        const struct stat st = {.st_ino = find(ino, name), .st_mode = S_IFREG};
        const size_t n = fuse_add_direntry(req, bytes + used, size - used, name, &st, (off_t)i + 1);

        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, bytes, used);
    free(bytes);
}

static const struct fuse_lowlevel_ops floor_ops = {
    .init = floor_init,
    .lookup = floor_lookup,
    .getattr = floor_getattr,
    .open = floor_open,
    .read = floor_read,
    .release = floor_release,
    .opendir = floor_opendir,
    .readdir = floor_readdir,
    .releasedir = floor_release,
};

int main(int argc, char **argv)
{
    char program[] = "floor", option[] = "-o",
         options[] = "ro,allow_other,default_permissions,fsname=floor";
    char *arguments[] = {program, option, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, arguments);
    struct fuse_session *session;
    int status;

    if (argc != 2)
        tool_die("floor: see floor.c");
    session = fuse_session_new(&args, &floor_ops, sizeof(floor_ops), NULL);
    if (session == NULL || fuse_set_signal_handlers(session) != 0 ||
        fuse_session_mount(session, argv[1]) != 0)
        tool_die("cannot mount the floor at '%s'", argv[1]);
    status = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return status < 0;
}
