/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_message.c - any bytes into a message of the kernel's form. The kernel is trusted to frame
 * its messages (libfuse does not look), not in what it asks for, and when.
 */
#include "fuzz_fuse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The fixed part of a body, how many names follow, and where numbers stand that are looked up. */
static const struct form {
    uint32_t opcode;
    size_t fixed;
    unsigned names;
    int node, handle; /* offset in the body; -1: none */
} forms[] = {
    {FUSE_LOOKUP, 0, 1, -1, -1},
    {FUSE_FORGET, sizeof(struct fuse_forget_in), 0, -1, -1},
    {FUSE_GETATTR, sizeof(struct fuse_getattr_in), 0, -1, 8},
    {FUSE_OPEN, sizeof(struct fuse_open_in), 0, -1, -1},
    {FUSE_READ, sizeof(struct fuse_read_in), 0, -1, 0},
    {FUSE_RELEASE, sizeof(struct fuse_release_in), 0, -1, 0},
    {FUSE_OPENDIR, sizeof(struct fuse_open_in), 0, -1, -1},
    {FUSE_READDIR, sizeof(struct fuse_read_in), 0, -1, 0},
    {FUSE_RELEASEDIR, sizeof(struct fuse_release_in), 0, -1, 0},
    {FUSE_STATFS, 0, 0, -1, -1},
    {FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), 1, -1, -1},
    {FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in), 0, -1, -1},
    {FUSE_INTERRUPT, sizeof(struct fuse_interrupt_in), 0, -1, -1},
    {FUSE_RENAME, sizeof(struct fuse_rename_in), 2, 0, -1},
    {FUSE_RENAME2, sizeof(struct fuse_rename2_in), 2, 0, -1},
    {FUSE_IOCTL, sizeof(struct fuse_ioctl_in), 0, -1, 0},
    {FUSE_BATCH_FORGET, sizeof(struct fuse_batch_forget_in), 0, -1, -1},
};

static const struct form *form_of(uint32_t opcode)
{
    static const struct form other = {0, 256, 3, -1, -1};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (forms[i].opcode == opcode)
            return &forms[i];
    return &other;
}

/* A small number stands for the n-th that was learned. */
static void look_up(unsigned char *at, const uint64_t *learned, size_t count)
{
    uint64_t number;

    memcpy(&number, at, sizeof(number));
    if (number < SMALL || number >= SMALL + KNOWN || count == 0)
        return;
    memcpy(at, &learned[(number - SMALL) % count], sizeof(number));
}

/* The first name of a body: ".hushfs~" alone stands for the stage name of what is staged. */
static size_t put_stage_name(const struct known *known, unsigned char *name, size_t size)
{
    const size_t n = strlen(HUSH_STAGE_PREFIX);
    char digits[17];

    if (known->staged == 0 || size < n + 1 || memcmp(name, HUSH_STAGE_PREFIX, n + 1) != 0)
        return size;
    (void)snprintf(digits, sizeof(digits), "%016" PRIx64, known->staged);
    memmove(name + n + 16, name + n, size - n);
    memcpy(name + n, digits, 16);
    return size + 16;
}

/* A name of a file: not empty, without '/', at most 255 bytes, with its NUL. */
static size_t put_names(unsigned char *bytes, size_t at, size_t size, unsigned names)
{
    for (unsigned i = 0; i < names; i++) {
        size_t length = 0;

        while (at + length < size && bytes[at + length] != '\0' && length < 255) {
            if (bytes[at + length] == '/')
                bytes[at + length] = '|';
            length++;
        }
        if (length == 0)
            bytes[at + length++] = 'a';
        bytes[at + length] = '\0';
        at += length + 1;
        size = size > at ? size : at;
    }
    return size;
}

static void put_counts(const struct known *known, uint32_t opcode, unsigned char *body, size_t size)
{
    struct fuse_batch_forget_in batch;
    struct fuse_ioctl_in ioctl;
    uint32_t bytes;

    if (opcode == FUSE_BATCH_FORGET) {
        const size_t one = sizeof(struct fuse_forget_one), most = (size - sizeof(batch)) / one;

        memcpy(&batch, body, sizeof(batch));
        batch.count = batch.count < most ? batch.count : (uint32_t)most;
        memcpy(body, &batch, sizeof(batch));
        for (size_t i = 0; i < batch.count; i++)
            look_up(body + sizeof(batch) + i * one, known->nodes, known->node_count);
    }
    if (opcode == FUSE_IOCTL) {
        memcpy(&ioctl, body, sizeof(ioctl));
        if (ioctl.in_size > size - sizeof(ioctl))
            ioctl.in_size = (uint32_t)(size - sizeof(ioctl));
        if (ioctl.cmd == (uint32_t)HUSH_CONTROL_RELOAD) /* ends the worker: a unit test's */
            ioctl.cmd = (uint32_t)HUSH_CONTROL_REFRESH;
        memcpy(body, &ioctl, sizeof(ioctl));
    }
    if (opcode == FUSE_READ || opcode == FUSE_READDIR) { /* of max_pages */
        memcpy(&bytes, body + offsetof(struct fuse_read_in, size), sizeof(bytes));
        bytes %= 128 * 1024 + 1;
        memcpy(body + offsetof(struct fuse_read_in, size), &bytes, sizeof(bytes));
    }
}

bool message_is_answered(uint32_t opcode)
{
    return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

size_t message_make(const struct known *known, unsigned char *bytes, size_t size, uint64_t unique)
{
    unsigned char *body = bytes + sizeof(struct fuse_in_header);
    struct fuse_in_header in;
    const struct form *form;

    memset(bytes + size, 0, MESSAGE_MAX + 1024 - size);
    memcpy(&in, bytes, sizeof(in));
    /* The first is the harness'; the others never come to this mount. */
    if (in.opcode == FUSE_INIT || in.opcode == FUSE_DESTROY || in.opcode == FUSE_NOTIFY_REPLY)
        return 0;
    look_up((unsigned char *)&in.nodeid, known->nodes, known->node_count);
    form = form_of(in.opcode);
    size = size > sizeof(in) ? size - sizeof(in) : 0;
    size = size > form->fixed ? size : form->fixed;
    if (form->node >= 0)
        look_up(body + form->node, known->nodes, known->node_count);
    if (form->handle >= 0)
        look_up(body + form->handle, known->handles, known->handle_count);
    if (form->names > 0 && size > form->fixed)
        size = form->fixed + put_stage_name(known, body + form->fixed, size - form->fixed);
    size = put_names(body, form->fixed, size, form->names);
    put_counts(known, in.opcode, body, size);
    in.len = (uint32_t)(sizeof(in) + size);
    in.unique = unique;
    memcpy(bytes, &in, sizeof(in));
    return in.len;
}
