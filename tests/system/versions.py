# SPDX-License-Identifier: Apache-2.0
"""versions.py DIRECTORY COUNT: versions 1 to COUNT of a secret as files DIRECTORY/1 …, each of another
length, with the header that tests/tools/reader.c judges: its number, its length and a checksum."""

import pathlib
import random
import sys
import zlib


def version(number):
    rnd = random.Random(number)
    word = b"%010d" % number
    body = (b"%0128x" % rnd.getrandbits(512)) * 130
    body = body[: rnd.choice((1, 100, 4000, 4096, 5000, 16000))]
    return b"HUSH %s %06d %08x\n" % (word, len(body), zlib.crc32(word + body)) + body


def main(directory, count):
    where = pathlib.Path(directory)
    where.mkdir(parents=True, exist_ok=True)
    for number in range(1, int(count) + 1):
        (where / str(number)).write_bytes(version(number))


main(*sys.argv[1:])
