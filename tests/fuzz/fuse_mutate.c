/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_mutate.c - changes inputs of fuzz_fuse by whole messages, which libFuzzer by itself hardly
 * ever does: one is made, repeated, moved or dropped; the rest is left to libFuzzer.
 */
#include "fuzz_fuse.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = sizeof(struct fuse_in_header), PIECES = 512 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static unsigned any(unsigned *seed, unsigned below)
{
    return (unsigned)rand_r(seed) % below; // NOLINT: the fuzzer's own seed
}

/* -- A message ------------------------------------------------------------------------------------
 */

static size_t make_name(unsigned *seed, uint8_t *out)
{
    static const char *const names[] = {
        "env",
        "dir",
        "a",
        "b",
        "f",
        "k",
        "n",
        "a#1",
        "b_c",
        "user",
        ".json",
        ".value",
        ".hushfs~",
        ".hushfs",
        "control",
        "status.json",
        "%25",
        "%",
        "user.hushfs.version",
    };
    const char *name = names[any(seed, sizeof(names) / sizeof(names[0]))];

    memcpy(out, name, strlen(name) + 1);
    return strlen(name) + 1;
}

static uint64_t any_number(unsigned *seed)
{
    const unsigned kind = any(seed, 8);

    if (kind == 0)
        return any(seed, 8);
    return kind == 1 ? any(seed, 1u << 30) : SMALL + any(seed, 12);
}

static size_t make_body(unsigned *seed, uint32_t opcode, uint8_t *out)
{
    uint64_t number = any_number(seed);
    size_t fixed = 0;

    switch (opcode) {
    case FUSE_LOOKUP:
        return make_name(seed, out);
    case FUSE_RENAME2:
        fixed = sizeof(struct fuse_rename2_in);
        out[8] = (uint8_t)(any(seed, 2) * 2); /* RENAME_EXCHANGE */
        break;
    case FUSE_GETXATTR:
        fixed = sizeof(struct fuse_getxattr_in);
        break;
    case FUSE_FORGET:
        number = any(seed, 5);
        break;
    case FUSE_INTERRUPT:
        number = FIRST_UNIQUE + 2 * any(seed, 40);
        break;
    default:
        break;
    }
    memcpy(out, &number, sizeof(number));
    if (fixed == 0)
        return sizeof(number);
    fixed += make_name(seed, out + fixed);
    return fixed + make_name(seed, out + fixed);
}

/* A piece of an input: at most 256 bytes. */
static size_t make_piece(unsigned *seed, uint8_t out[256])
{
    static const uint32_t opcodes[] = {
        0,
        0,
        0,
        FUSE_LOOKUP,
        FUSE_LOOKUP,
        FUSE_LOOKUP,
        FUSE_GETATTR,
        FUSE_GETATTR,
        FUSE_GETATTR,
        FUSE_OPEN,
        FUSE_OPEN,
        FUSE_READ,
        FUSE_RELEASE,
        FUSE_OPENDIR,
        FUSE_READDIR,
        FUSE_RELEASEDIR,
        FUSE_FORGET,
        FUSE_INTERRUPT,
        FUSE_GETXATTR,
        FUSE_RENAME2,
    };
    struct fuse_in_header in = {.opcode = opcodes[any(seed, sizeof(opcodes) / sizeof(opcodes[0]))],
                                .nodeid = any_number(seed),
                                .pid = any(seed, 4) == 0 ? MOVER : 1000 + any(seed, 3)};
    size_t size = HEAD;

    memset(out, 0, 256);
    memcpy(out + 2, &in, sizeof(in));
    if (in.opcode != 0)
        size += make_body(seed, in.opcode, out + 2 + HEAD);
    for (size_t i = 0; in.opcode == 0 && i < 4; i++)
        out[2 + offsetof(struct fuse_in_header, unique) + i] = (uint8_t)any(seed, 16);
    out[0] = (uint8_t)size;
    out[1] = (uint8_t)(size >> 8);
    return size + 2;
}

/* -- An input -------------------------------------------------------------------------------------
 */

/* Where its pieces begin, and where the last one ends: count + 1 offsets. */
static size_t pieces_of(const uint8_t *data, size_t size, size_t at[PIECES + 1])
{
    size_t n = 0;

    at[0] = 0;
    while (n < PIECES && size - at[n] >= 2) {
        const size_t length = (size_t)(data[at[n]] | data[at[n] + 1] << 8) + 2;

        if (length > size - at[n])
            break;
        at[n + 1] = at[n] + length;
        n++;
    }
    return n;
}

static size_t insert(uint8_t *data, size_t size, size_t at, const uint8_t *piece, size_t length)
{
    memmove(data + at + length, data + at, size - at);
    memcpy(data + at, piece, length);
    return size + length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t piece[65537 + 2];
    size_t at[PIECES + 1], length;
    const size_t n = pieces_of(data, size, at);
    const size_t from = n > 0 ? any(&seed, (unsigned)n) : 0;
    const size_t to = any(&seed, (unsigned)n + 1);
    const unsigned what = any(&seed, 5);

    if (n == 0 && what != 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (what == 0) {
        length = make_piece(&seed, piece);
    } else {
        length = at[from + 1] - at[from];
        memcpy(piece, data + at[from], length);
    }
    switch (what) {
    case 0: /* a new one */
    case 1: /* the same again */
        return size + length <= max_size ? insert(data, size, at[to], piece, length) : size;
    case 2: /* not that one */
        memmove(data + at[from], data + at[from + 1], size - at[from + 1]);
        return size - length;
    case 3: /* that one is another */
        length = LLVMFuzzerMutate(piece + 2, length - 2, length - 2 > 0 ? length - 2 : 1);
        memcpy(data + at[from] + 2, piece + 2,
               length < at[from + 1] - at[from] - 2 ? length : at[from + 1] - at[from] - 2);
        return size;
    default:
        return LLVMFuzzerMutate(data, size, max_size);
    }
}
