/* SPDX-License-Identifier: Apache-2.0 */
/* rotate.c - see rotate.h. Called by work.c, item.c, ops.c, timer.c and worker.c. */
#include "rotate.h"

#include "both.h"
#include "core/clock.h"
#include "core/log.h"
#include "gate.h"
#include "item.h"
#include "snapshot.h"
#include "tree.h"
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RENAME_WAIT_MS = 500,  /* then the worker switches by itself */
    ANSWER_WAIT_MS = 2000, /* then the mover's next command is sent */
    ANSWER_SLICE_MS = 100, /* and how soon a worker that ends stops waiting */
};

/* -- Commands ---------------------------------------------------------------------------------- */

static struct hush_command *command(struct hush_fs *fs, enum hush_move op)
{
    struct hush_command *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL; /* the kernel's timeouts will do it, later */
    c->packet.op = (uint32_t)op;
    c->packet.id = ++fs->next_command;
    DL_APPEND(fs->commands, c);
    pthread_cond_signal(&fs->moves);
    return c;
}

static void inval_inode(struct hush_fs *fs, uint64_t ino, int64_t offset)
{
    struct hush_command *c = command(fs, HUSH_MOVE_INVAL_INODE);

    if (c == NULL)
        return;
    c->packet.ino = ino;
    c->packet.offset = offset;
}

static struct hush_command *inval_entry(struct hush_fs *fs, uint64_t parent, const char *name)
{
    struct hush_command *c = parent != 0 ? command(fs, HUSH_MOVE_INVAL_ENTRY) : NULL;

    if (c == NULL)
        return NULL;
    c->packet.ino = parent;
    (void)snprintf(c->packet.to, sizeof(c->packet.to), "%s", name);
    return c;
}

/* item's waiters are woken when c is done. NULL: at once. */
static void wait_for(struct hush_item *item, struct hush_command *c)
{
    if (c != NULL)
        c->path = strdup(item->path);
    item->command = c != NULL && c->path != NULL ? c->packet.id : 0;
    item->command_ns = hush_now_ns();
}

static void unname_in(struct hush_fs *fs, uint64_t dir, const char *name)
{
    (void)inval_entry(fs, dir, name);
}

/* A node from before its first fetch through which s is shown (item.h). */
static void unname_through(struct hush_fs *fs, const struct hush_node *n,
                           const struct hush_snapshot *s, const char *name)
{
    if (n == NULL || n->bound != s->record->sequence)
        return;
    unname_in(fs, n->ino, name);
    hush_view_walk(fs, n->ino, unname_in, name);
}

static void unname_everywhere(struct hush_fs *fs, const struct hush_snapshot *s, const char *name)
{
    const char *path = s->item->path;

    unname_in(fs, s->nodes[0].ino, name);
    hush_view_walk(fs, s->nodes[0].ino, unname_in, name);
    unname_through(fs, hush_tree_path_find(fs, path, HUSH_NODE_PENDING, true), s, name);
    unname_through(fs, hush_tree_path_find(fs, path, HUSH_NODE_GUESS, true), s, name);
}

void hush_rotate_unname(struct hush_fs *fs, const struct hush_node *node)
{
    const struct hush_snapshot *s = node->snapshot;

    unname_everywhere(fs, s, node->name);
    if (node == &s->nodes[1] && hush_both_is_folder(fs, s->item))
        unname_everywhere(fs, s, ".value"); /* .json has that name, too */
}

static void unname_files(struct hush_fs *fs, const struct hush_snapshot *s)
{
    for (size_t i = 1; i < s->node_count; i++)
        if (s->nodes[i].named)
            hush_rotate_unname(fs, &s->nodes[i]);
    hush_view_walk_below(fs, s->nodes[0].ino, unname_in);
}

static void stage_name(const struct hush_snapshot *s, char *out, size_t size)
{
    (void)snprintf(out, size, HUSH_STAGE_PREFIX "%016" PRIx64, s->nodes[0].ino);
}

/* -- Showing ----------------------------------------------------------------------------------- */

static struct hush_command *ask_mover(struct hush_fs *fs, const struct hush_item *item)
{
    const char *name = hush_path_last(item->path);
    struct hush_command *c;

    if (atomic_load(&fs->state->mover_pid) == 0)
        return NULL;
    c = command(fs, HUSH_MOVE_REPLACE);
    if (c == NULL)
        return NULL;
    if (item->staged->nodes[0].kind == HUSH_NODE_VERSION)
        c->packet.flags = RENAME_EXCHANGE; /* a replaced directory would be dead to its holders */
    (void)snprintf(c->packet.dir, sizeof(c->packet.dir), "%.*s", (int)(name - item->path - 1),
                   item->path);
    stage_name(item->staged, c->packet.from, sizeof(c->packet.from));
    (void)snprintf(c->packet.to, sizeof(c->packet.to), "%s", name);
    return c;
}

static bool knows_parent(struct hush_fs *fs, const char *path)
{
    return hush_tree_find(fs, hush_view_target(fs, hush_view_parent(fs, path))) != NULL;
}

void hush_rotate_show(struct hush_fs *fs, struct hush_item *item)
{
    /* Nobody can watch a name that the kernel does not know: its first version just appears. */
    bool known = item->current != NULL && knows_parent(fs, item->path) &&
                 item->current->nodes[0].kind == item->staged->nodes[0].kind;
    struct hush_command *c = known ? ask_mover(fs, item) : NULL;

    wait_for(item, c);
    if (item->command == 0)
        hush_item_commit(fs, item);
    else
        pthread_cond_signal(&fs->timer);
}

/* The mover's name for s leads nowhere any more: without it the kernel can let go of what it stands
 * for, once nobody holds it. */
static void drop_stage_name(struct hush_fs *fs, const struct hush_snapshot *s)
{
    char name[64];

    stage_name(s, name, sizeof(name));
    (void)inval_entry(fs, hush_view_parent(fs, s->item->path), name);
}

struct hush_node *hush_rotate_staged(struct hush_fs *fs, const char *name)
{
    size_t n = strlen(HUSH_STAGE_PREFIX);
    struct hush_node *node;
    uint64_t ino = 0;

    if (strncmp(name, HUSH_STAGE_PREFIX, n) != 0 || strlen(name) != n + 16)
        return NULL;
    for (const char *p = name + n; *p != '\0'; p++) {
        const char *digits = "0123456789abcdef", *d = strchr(digits, *p);

        if (d == NULL)
            return NULL;
        ino = ino << 4 | (uint64_t)(d - digits);
    }
    node = hush_tree_find(fs, ino);
    if (node == NULL || node->snapshot == NULL || node != hush_snapshot_top(node->snapshot))
        return NULL;
    return node;
}

int hush_rotate_renamed(struct hush_fs *fs, const char *from, const char *to)
{
    struct hush_node *node = hush_rotate_staged(fs, from);
    struct hush_item *item = node != NULL ? node->snapshot->item : NULL;

    if (item == NULL || strcmp(hush_path_last(item->path), to) != 0)
        return ENOENT;
    /* Switched already, since it came late: the kernel may as well. An exchange must not: if it
     * comes a second time (a command is said again to a new mover) it would put the old one back.
     */
    if (item->current == node->snapshot && node->kind != HUSH_NODE_VERSION)
        return 0;
    if (item->staged != node->snapshot) {
        drop_stage_name(fs, node->snapshot);
        return ENOENT;
    }
    if (node->kind == HUSH_NODE_VERSION)
        drop_stage_name(fs, node->snapshot); /* the old directory has it then */
    hush_item_commit(fs, item); /* its waiters: when the kernel has done its part, too */
    return 0;
}

static void show_without(struct hush_fs *fs, struct hush_item *item)
{
    if (item->staged != NULL) {
        hush_item_commit(fs, item);
        (void)inval_entry(fs, hush_view_parent(fs, item->path), hush_path_last(item->path));
        drop_stage_name(fs, item->current); /* the mover may have looked it up */
    }
    item->command = 0;
    hush_gate_wake_settled(fs, item, item->status);
}

void hush_rotate_expire(struct hush_fs *fs, uint64_t now_ns)
{
    uint64_t wait_ns = (uint64_t)RENAME_WAIT_MS * HUSH_NS_PER_MS;

    for (struct hush_item *item = fs->items; item != NULL; item = item->hh.next)
        if (item->command != 0 && now_ns >= item->command_ns + wait_ns)
            show_without(fs, item);
}

void hush_rotate_forget(struct hush_fs *fs, struct hush_item *item, const struct hush_snapshot *s)
{
    if (s->record->nlookup == 0)
        return;
    for (size_t i = 0; i < s->node_count; i++)
        if (s->nodes[i].kind == HUSH_NODE_FILE)
            inval_inode(fs, s->nodes[i].ino, 0); /* its pages too */
    unname_files(fs, s);
    wait_for(item, inval_entry(fs, hush_view_parent(fs, item->path), hush_path_last(item->path)));
}

void hush_rotate_forget_top(struct hush_fs *fs, const char *path)
{
    char top[HUSH_NAME_MAX + 1];

    /* The name itself, too: while it is open it outlives the directory that it was found in. */
    (void)inval_entry(fs, hush_view_parent(fs, path), hush_path_last(path));
    (void)snprintf(top, sizeof(top), "%.*s", (int)strcspn(path, "/"), path);
    (void)inval_entry(fs, HUSH_INO_ROOT, top);
}

void hush_rotate_superseded(struct hush_fs *fs, const struct hush_snapshot *s)
{
    if (s->record->nlookup > 0 && s->nodes[0].kind == HUSH_NODE_FILE)
        inval_inode(fs, s->nodes[0].ino, -1);
    unname_files(fs, s);
}

void hush_rotate_retell(struct hush_fs *fs, const struct hush_item *item)
{
    const struct hush_snapshot *s;

    if (item->current != NULL)
        drop_stage_name(fs, item->current); /* the one before may have it, by an exchange */
    DL_FOREACH(item->old, s)
    {
        drop_stage_name(fs, s);
        hush_rotate_superseded(fs, s);
    }
    (void)inval_entry(fs, hush_view_parent(fs, item->path), hush_path_last(item->path));
}

void hush_rotate_look_again(struct hush_fs *fs, const char *path)
{
    (void)inval_entry(fs, hush_view_parent(fs, path), hush_path_last(path));
}

static void inval_attributes(struct hush_fs *fs, uint64_t ino, const char *name)
{
    (void)name;
    inval_inode(fs, ino, -1);
}

void hush_rotate_forget_all(struct hush_fs *fs)
{
    for (const struct hush_node *node = fs->nodes; node != NULL; node = node->hh.next)
        inval_attributes(fs, node->ino, NULL);
    hush_view_walk(fs, 0, inval_attributes, NULL);
    for (struct hush_item *item = fs->items; item != NULL; item = item->hh.next)
        hush_rotate_retell(fs, item);
}

bool hush_rotate_idle(struct hush_fs *fs)
{
    return fs->commands == NULL && !fs->mover_busy;
}

/* -- The mover's client: waits on a socket, never in the kernel for our own answer ------------- */

static bool readable(struct hush_fs *fs)
{
    for (int waited_ms = 0; waited_ms < ANSWER_WAIT_MS; waited_ms += ANSWER_SLICE_MS) {
        struct pollfd p = {.fd = fs->mover_fd, .events = POLLIN};
        bool stopping;

        if (poll(&p, 1, ANSWER_SLICE_MS) > 0)
            return true;
        pthread_mutex_lock(&fs->lock);
        stopping = fs->stopping;
        pthread_mutex_unlock(&fs->lock);
        if (stopping)
            return false;
    }
    hush_warning("the mover does not answer");
    return false;
}

/* True: the command is done with, one way or the other; *error: how, or as it was without an
 * answer. False: a new mover came, say it again. */
static bool await_answer(struct hush_fs *fs, uint64_t id, int *error)
{
    struct hush_move_packet answer;

    for (;;) {
        if (!readable(fs))
            return true;
        if (recv(fs->mover_fd, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer))
            return true;
        if (answer.op == HUSH_MOVE_HELLO)
            return false;
        if (answer.id != id)
            continue; /* to a dead worker, or too late */
        if (answer.error != 0 && answer.error != ENOENT)
            hush_debug("mover command %u failed: %s", answer.op, strerror(answer.error));
        *error = answer.error;
        return true;
    }
}

/* What was said before this command: a new mover's HELLO, answers to a dead worker. */
static void drain(struct hush_fs *fs)
{
    struct hush_move_packet old;

    while (recv(fs->mover_fd, &old, sizeof(old), MSG_DONTWAIT) > 0)
        continue;
}

/* 0 or an errno. */
static int carry_out(struct hush_fs *fs, const struct hush_command *c)
{
    int error = ETIMEDOUT;

    drain(fs);
    for (int tries = 0; tries < 3; tries++) {
        if (send(fs->mover_fd, &c->packet, sizeof(c->packet), MSG_NOSIGNAL) < 0 && errno != EINTR) {
            hush_warning("cannot reach the mover: %m");
            break;
        }
        if (await_answer(fs, c->packet.id, &error))
            break;
    }
    return error;
}

static void command_free(struct hush_command *c)
{
    free(c->path);
    free(c);
}

/* The kernel asks for the attributes of s each time from now on: OPENs that waited for that go on,
 * if they wait for nothing else. */
static void note_asks(struct hush_fs *fs, struct hush_snapshot *s)
{
    s->asks = s->record->state == HUSH_SNAPSHOT_OLD;
    if (s->asks && s->item->command == 0)
        hush_gate_wake_settled(fs, s->item, s->item->status);
}

/* A name that was replaced: its inode's attributes went with it. */
static void note_done(struct hush_fs *fs, const struct hush_command *c, struct hush_item *item)
{
    const struct hush_node *node =
        c->packet.op == HUSH_MOVE_INVAL_INODE ? hush_tree_find(fs, c->packet.ino) : NULL;

    if (node != NULL && node->snapshot != NULL)
        note_asks(fs, node->snapshot);
    if (c->packet.op == HUSH_MOVE_REPLACE && item != NULL && item->old != NULL)
        note_asks(fs, item->old->prev); /* utlist: the last one */
}

/* The kernel has done it, or will not (error): whoever waited for it may go on. */
static void command_done(struct hush_fs *fs, struct hush_command *c, int error)
{
    struct hush_item *item = c->path != NULL ? hush_item_find(fs, c->path) : NULL;

    if (error == 0 || (error == ENOENT && c->packet.op == HUSH_MOVE_INVAL_INODE))
        note_done(fs, c, item);
    if (item != NULL && item->command == c->packet.id)
        show_without(fs, item);
    command_free(c);
}

static void *mover_thread(void *arg)
{
    struct hush_fs *fs = arg;

    pthread_mutex_lock(&fs->lock);
    while (!fs->stopping) {
        struct hush_command *c = fs->commands;
        int error;

        if (c == NULL) {
            pthread_cond_wait(&fs->moves, &fs->lock);
            continue;
        }
        DL_DELETE(fs->commands, c);
        fs->mover_busy = true;
        pthread_mutex_unlock(&fs->lock);
        error = carry_out(fs, c);
        pthread_mutex_lock(&fs->lock);
        fs->mover_busy = false;
        command_done(fs, c, error);
        pthread_mutex_unlock(&fs->lock);
        hush_gate_answer_woken(fs);
        pthread_mutex_lock(&fs->lock);
        pthread_cond_signal(&fs->timer); /* somebody may wait until all is done */
    }
    pthread_mutex_unlock(&fs->lock);
    return NULL;
}

bool hush_rotate_start(struct hush_fs *fs)
{
    fs->next_command = hush_now_ns(); /* far from a dead worker's */
    errno = pthread_create(&fs->mover_thread, NULL, mover_thread, fs);
    return errno == 0;
}

void hush_rotate_stop(struct hush_fs *fs)
{
    struct hush_command *c, *next;

    pthread_mutex_lock(&fs->lock);
    fs->stopping = true;
    pthread_cond_broadcast(&fs->moves);
    pthread_mutex_unlock(&fs->lock);
    pthread_join(fs->mover_thread, NULL);
    DL_FOREACH_SAFE(fs->commands, c, next)
    {
        DL_DELETE(fs->commands, c);
        command_free(c);
    }
}
