# SPDX-License-Identifier: Apache-2.0
"""A bind mount of the single file, as containers are given a secret: a rotation reaches it, and the size
that fstat(2) says is that of what is read."""

import os
import signal
import subprocess
import threading
import time

import harness
import pytest
from harness import QUICK, Rotator, content, version_of, wait_for

SECONDS = 5 if QUICK else 20


@pytest.fixture
def bound(mount):
    """(mount with s/db, version 1; where that is mounted)"""
    m = mount(files={"db": content(1)})
    target = m.base / "bound"
    target.touch()
    assert version_of(harness.read(m / "db")) == 1
    subprocess.run(["mount", "--bind", m / "db", target], check=True)
    yield m, target
    subprocess.run(["umount", target], check=True)


def read_of_its_size(path):
    """What a reader gets that believes fstat(2), before and after; fails if that is not all of it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        before, parts = os.fstat(fd).st_size, []
        while part := os.read(fd, 65536):
            parts.append(part)
        data, after = b"".join(parts), os.fstat(fd).st_size
        assert before == after == len(data), f"fstat: {before}, {after}; read: {len(data)}"
        return data
    finally:
        os.close(fd)


class Reading(threading.Thread):
    """Reads again and again; what it saw."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.wrong, self.versions, self.reads = path, [], set(), 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.versions.add(version_of(read_of_its_size(self.path)))
            except (OSError, AssertionError) as error:
                self.wrong.append(str(error))
            self.reads += 1
            time.sleep(0.001)


@pytest.mark.timeout(SECONDS + 60)
def test_every_read_has_the_size_that_fstat_says(bound):
    m, target = bound
    readers = [Reading(target) for _ in range(2)]
    with Rotator(lambda data: m.put("db", data), per_second=20) as rotator:
        for reader in readers:
            reader.start()
        time.sleep(SECONDS)
        last = rotator.stop()
    wait_for(lambda: version_of(read_of_its_size(target)) == last, 2, "the last version")
    for reader in readers:
        reader.stopping.set()
        reader.join()
        assert not reader.wrong, (len(reader.wrong), reader.reads, reader.wrong[:5])
        assert len(reader.versions) > SECONDS, (reader.reads, reader.versions)


def test_while_the_version_that_was_bound_is_open(bound):
    """The kernel has one size for both: the old bytes with their size, until they are let go."""
    m, target = bound
    held = os.open(m / "db", os.O_RDONLY)
    for version in (2, 3):
        m.put("db", content(version))
        wait_for(lambda version=version: version_of(harness.read(m / "db")) == version, 2, "the rotation")
        assert version_of(read_of_its_size(target)) == 1
    assert os.pread(held, 1 << 20, 0) == content(1) and os.fstat(held).st_size == len(content(1))
    os.close(held)
    wait_for(lambda: version_of(read_of_its_size(target)) == 3, 2, "the new version")


def test_a_descriptor_keeps_its_size(bound):
    """Opened through the bind mount, and rotated twice meanwhile."""
    m, target = bound
    m.put("db", content(2))
    wait_for(lambda: version_of(read_of_its_size(target)) == 2, 5, "the rotation")
    fd = os.open(target, os.O_RDONLY)
    for version in (3, 4):
        m.put("db", content(version))
        wait_for(lambda version=version: version_of(harness.read(m / "db")) == version, 2, "the rotation")
        assert os.fstat(fd).st_size == len(content(2)) and os.pread(fd, 1 << 20, 0) == content(2)
    os.close(fd)
    assert version_of(read_of_its_size(target)) == 4


@pytest.mark.parametrize("size", [100, 50000])  # shorter than the first, and longer
def test_a_mover_that_does_not_come(mount, size):
    """The name switches without it, but it alone can tell the kernel that the size is another."""
    m = mount(files={"db": content(1, 1000)}, mount_options={"deadline": 1})
    m.expect_log("the mover does not answer")
    target = m.base / "bound"
    target.touch()
    assert version_of(harness.read(m / "db")) == 1
    subprocess.run(["mount", "--bind", m / "db", target], check=True)
    try:
        assert version_of(read_of_its_size(target)) == 1
        mover = m.kill("mover", signal.SIGSTOP)
        m.put("db", content(2, size))
        wait_for(lambda: version_of(harness.read(m / "db")) == 2, 5, "the rotation")
        assert version_of(read_of_its_size(target)) == 1
        os.kill(mover, signal.SIGCONT)
        wait_for(lambda: version_of(read_of_its_size(target)) == 2, 5, "the new version")
    finally:
        os.kill(m.pids()["mover"], signal.SIGCONT)
        subprocess.run(["umount", target], check=True)
