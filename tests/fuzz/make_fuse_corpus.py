#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make_fuse_corpus.py [DIRECTORY]: the inputs that fuzz_fuse.c begins with, in the layouts of
linux/fuse.h: what programs do, as sequences of messages. Run after a change of the form; the files
are committed."""
import pathlib
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
GETXATTR, LISTXATTR, OPENDIR, READDIR, RELEASEDIR, INTERRUPT = 22, 23, 27, 28, 29, 36
IOCTL, BATCH_FORGET, RENAME2 = 39, 42, 45
ROOT, MOVER = 1, 77
REFRESH = 0xC0000000 | (2048 + 4 + 1024) << 16 | ord("H") << 8 | 1


def learned(n):
    """The n-th node id or handle that an answer gave."""
    return 16 + n


def message(opcode, node, body=b"", tid=1000):
    head = struct.pack("<IIQQIIIHH", 40 + len(body), opcode, 0, node, 0, 0, tid, 0, 0)
    return struct.pack("<H", len(head) + len(body)) + head + body


def harness(*body):
    """advance 0, hold 1, let go 2, hold mover 3, let it go 4, script 5: status, version, shape"""
    return message(0, 0)[:2 + 8] + bytes(body) + bytes(40 - 8 - len(body))


def advance(ms):
    return harness(0, ms % 2560 // 10, ms // 2560)


def lookup(node, name, tid=1000):
    return message(LOOKUP, node, name + b"\0", tid)


def getattr_(node, tid=1000):
    return message(GETATTR, node, bytes(16), tid)


def open_(node, opcode=OPEN):
    return message(opcode, node, bytes(8))


def read(node, handle, size=4096, opcode=READ, offset=0):
    return message(opcode, node, struct.pack("<QQIIQII", handle, offset, size, 0, 0, 0, 0))


def release(node, handle, opcode=RELEASE):
    return message(opcode, node, struct.pack("<QIIQ", handle, 0, 0, 0))


def forget(node, n):
    return message(FORGET, node, struct.pack("<Q", n))


def ioctl(node, path):
    body = struct.pack("<QIIQII", 0, 0, REFRESH, 0, 3076, 3076)
    return message(IOCTL, node, body + path.ljust(2048, b"\0") + bytes(1028))


ENV, DIR = learned(0), learned(1)  # after both were looked up
TOP = lookup(ROOT, b"env") + lookup(ROOT, b"dir")


def settle(parent, name, guess, tid=1000):
    """LOOKUP, GETATTR, ESTALE, LOOKUP twice."""
    return lookup(parent, name, tid) + getattr_(guess, tid) + lookup(parent, name, tid) * 2


CORPUS = {
    "stat_root": getattr_(ROOT) + message(STATFS, ROOT),
    "cat_env": TOP + settle(ENV, b"a", learned(2)) + open_(learned(3)) + read(learned(3), learned(0))
        + release(learned(3), learned(0)) + forget(learned(3), 2),
    "no_such_name": TOP + lookup(ENV, b"nothing") + getattr_(learned(2)) + lookup(ENV, b"nothing"),
    "list": TOP + open_(ENV, OPENDIR) + read(ENV, learned(0), 100, READDIR)
        + read(ENV, learned(0), 4096, READDIR, 3) + release(ENV, learned(0), RELEASEDIR)
        + open_(DIR, OPENDIR) + read(DIR, learned(1), 4096, READDIR),
    "fields": TOP + harness(5, 0, 1, 1) + settle(DIR, b"a", learned(2)) + lookup(learned(3), b"user")
        + open_(learned(4)) + read(learned(4), learned(0)) + open_(learned(3), OPENDIR)
        + read(learned(3), learned(1), 4096, READDIR),
    "rotation": TOP + settle(DIR, b"f", learned(2)) + open_(learned(3)) + harness(5, 0, 2, 0)
        + advance(3000) + lookup(DIR, b"f") + getattr_(learned(3)) + lookup(DIR, b"f") * 2
        + open_(learned(4)) + read(learned(3), learned(0)) + read(learned(4), learned(1))
        + open_(learned(3)) * 2,
    "rename": TOP + settle(DIR, b"f", learned(2)) + open_(learned(3)) + harness(3)
        + harness(5, 0, 3, 2) + advance(3000) + lookup(DIR, b"f") + harness(1) + getattr_(learned(3))
        + harness(2) + lookup(DIR, b".hushfs~", MOVER)
        + message(RENAME2, DIR, struct.pack("<QII", DIR, 0, 0) + b".hushfs~\0f\0", MOVER) + harness(4),
    "exchange": TOP + settle(DIR, b"a", learned(2)) + harness(3) + harness(5, 0, 3, 1)
        + advance(3000) + lookup(DIR, b"a") + getattr_(learned(3)) + lookup(DIR, b".hushfs~", MOVER)
        + message(RENAME2, DIR, struct.pack("<QII", DIR, 2, 0) + b".hushfs~\0a\0", MOVER) * 2
        + harness(4),
    "interrupt": TOP + harness(1) + lookup(DIR, b"f") + getattr_(learned(2))
        + message(INTERRUPT, 0, struct.pack("<Q", 4 + 2 * 3)) + lookup(DIR, b"f", 2000)
        + getattr_(learned(2), 2000) + harness(2),
    "deadline": TOP + harness(1) + lookup(DIR, b"f") + getattr_(learned(2)) + open_(DIR, OPENDIR)
        + advance(5000) + harness(2),
    "failures": TOP + b"".join(harness(5, status, 0, 0) + lookup(DIR, b"x%d" % status)
        + getattr_(learned(1 + status)) for status in range(1, 14)),
    "refused": TOP + settle(DIR, b"f", learned(2)) + open_(learned(3)) + harness(5, 2, 0, 0)
        + advance(3000) + lookup(DIR, b"f") + getattr_(learned(3)) + read(learned(3), learned(0))
        + message(BATCH_FORGET, 0, struct.pack("<IIQQQQ", 2, 0, learned(2), 1, learned(3), 9)),
    "versions": TOP + settle(DIR, b"a#1", learned(2)) + settle(DIR, b"n#1", learned(4))
        + settle(DIR, b"a#x", learned(5)),
    "xattrs": TOP + settle(DIR, b"k", learned(2)) + message(LISTXATTR, learned(3), struct.pack("<II", 200, 0))
        + message(GETXATTR, learned(3), struct.pack("<II", 200, 0) + b"user.hushfs.version\0")
        + message(GETXATTR, learned(3), struct.pack("<II", 0, 0) + b"user.hushfs.source\0"),
    "dotfiles": TOP + lookup(ROOT, b".hushfs") + lookup(2, b"control") + lookup(2, b"status.json")
        + open_(6) + read(6, learned(0), 65536) + release(6, learned(0)) + open_(2, OPENDIR)
        + read(2, 0, 4096, READDIR) + ioctl(3, b"dir/f") + ioctl(3, b"env/a") + ioctl(3, b"nothing"),
    "folders": TOP + open_(DIR, OPENDIR) + lookup(DIR, b"b") + open_(learned(2), OPENDIR)
        + lookup(learned(2), b".value") + getattr_(learned(3)) + lookup(learned(2), b"a"),
}


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus/fuse")
    top.mkdir(parents=True, exist_ok=True)
    for name, data in CORPUS.items():
        (top / name).write_bytes(data)


if __name__ == "__main__":
    main()
