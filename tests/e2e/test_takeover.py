# SPDX-License-Identifier: Apache-2.0
"""Killing the worker or the mover, at any moment, fails no read, locks no directory and loses no
event for good."""

import os
import random
import re
import signal
import time

import harness
import pytest
from harness import Inotify, Reader, Rotator, content, version_of, wait_for

KILLS = ["worker"] * 20 + ["mover"] * 5


def expect_deaths(mount):
    """The keeper says that a child died: that is what the test does."""
    mount.expect_log(r"(worker|mover).*(died|killed|ended|exited|signal|lost|gone|restart)")
    mount.expect_log(r"(died|killed|ended|exited|signal|lost|gone|restart).*(worker|mover)")


def nothing_stuck(mount):
    for who, pid in mount.pids().items():
        stuck = harness.threads_in_state(pid, "D")
        time.sleep(0.2)
        stuck = set(stuck) & set(harness.threads_in_state(pid, "D"))
        assert not stuck, f"{who} {pid} has threads in state D: {stuck}"
    dead = [p for p in mount.seen_pids if harness.alive(p) and p not in mount.pids().values()]
    assert not dead, f"killed and still there: {dead}"


def kill_at_random(mount, kills, rnd):
    last = {}
    for who in kills:
        time.sleep(rnd.uniform(0.05, 0.5))
        pid = wait_for(lambda who=who: fresh_pid(mount, who, last.get(who)), 5, f"a new {who}")
        last[who] = pid
        os.kill(pid, signal.SIGKILL)
    for who in ("worker", "mover"):
        wait_for(lambda who=who: fresh_pid(mount, who, last.get(who)), 5, f"a new {who}")


def fresh_pid(mount, who, old):
    pid = mount.pids().get(who)
    return pid if pid != old else None


@pytest.mark.timeout(120)
def test_no_read_fails(mount, open_mode):
    seed = int(os.environ.get("HUSHFS_SEED", random.randrange(1 << 32)))
    print("HUSHFS_SEED =", seed)
    rnd = random.Random(seed)
    names = ["a", "dir/b", "dir/deep/c"]
    m = mount(files={n: content(1) for n in names}, mount_options={"open": open_mode})
    for i in range(30):
        m.put(f"dir/new{i}", b"never seen before")
    expect_deaths(m)
    keeper, old = m.keeper(), content(1)
    held = [(os.open(m / n, os.O_RDONLY), os.fstat) for n in names]
    held = [fd for fd, _ in held]
    unread = os.open(m / "a", os.O_RDONLY)
    stats = [os.fstat(fd) for fd in held]
    for fd in held:
        assert os.pread(fd, 1 << 20, 0) == old
    directory = os.open(m / "dir", os.O_RDONLY | os.O_DIRECTORY)

    def write(data):
        for name in names:
            m.put(name, data)

    kills = rnd.sample(KILLS, len(KILLS))
    with Reader(*[m / n for n in names], threads=8, pause_us=500) as reader:
        with Rotator(write, per_second=10) as rotator:
            time.sleep(0.3)
            kill_at_random(m, kills, rnd)
            time.sleep(0.5)
            last = rotator.stop()
        wait_for(lambda: all(version_of(harness.read(m / n)) == last for n in names), 5, "the last version")
        time.sleep(0.2)
        report = reader.stop()
    print(report)
    harness.assert_clean(report, newest=last)
    assert report["longest_ms"] < 1000 * harness.SLACK, report

    assert m.keeper() == keeper and m.status()["worker_generation"] >= 1 + kills.count("worker")
    nothing_stuck(m)
    for fd, stat in zip(held, stats):
        assert os.pread(fd, 1 << 20, 0) == old
        assert (os.fstat(fd).st_ino, os.fstat(fd).st_size) == (stat.st_ino, stat.st_size)
        os.close(fd)
    assert os.read(unread, 1 << 20) == old
    os.close(unread)

    # Every directory takes lookups of names never asked for, and lists.
    assert len(os.listdir(directory)) == 32
    assert harness.read("new0", dir_fd=directory) == b"never seen before"
    assert harness.outcome(lambda: os.stat("nope", dir_fd=directory)) == "ENOENT"
    os.close(directory)
    assert harness.read(m / "dir/new1") == b"never seen before"
    for name in ("", "dir", "dir/deep"):
        assert os.listdir(m / name)
        assert harness.outcome(lambda n=name: os.stat(m / n / f"nope{seed}")) == "ENOENT"

    # Rotation goes on, with its event.
    with Inotify(m / "dir") as watch:
        m.put("dir/b", content(last + 1))
        watch.wait(lambda es: any("MOVED_TO" in bits and name == "b" for _, bits, name in es), 5)
        assert version_of(harness.read(m / "dir/b")) == last + 1


def test_each_new_worker_watches_every_directory(mount):
    """open = kernel asks nobody while its timeouts last: only the watch tells of a rotation."""
    names = ["a", "dir/b", "dir/deep/c"]
    m = mount(files={n: content(1) for n in names}, mount_options={"open": "kernel"})
    expect_deaths(m)
    for version in range(2, 17):
        for name in names:
            harness.read(m / name)
        old = m.kill("worker")
        wait_for(lambda: fresh_pid(m, "worker", old), 5, "a new worker")
        m.status()
        for name in names:
            m.put(name, content(version))
        wait_for(lambda: all(version_of(harness.read(m / n)) == version for n in names), 3, f"version {version}")


@pytest.mark.parametrize("who", ["worker", "mover"])
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_other_deaths(mount, who, number):
    """A crash is a death like any other."""
    m = mount(files={"a": content(1)})
    expect_deaths(m)
    fd = os.open(m / "a", os.O_RDONLY)
    pid = m.kill(who, number)
    wait_for(lambda: fresh_pid(m, who, pid), 5, f"a new {who}")
    assert version_of(harness.read(m / "a")) == 1
    assert version_of(os.pread(fd, 1 << 20, 0)) == 1
    os.close(fd)
    m.put("a", content(2))
    wait_for(lambda: version_of(harness.read(m / "a")) == 2, 3, "the rotation")


@pytest.mark.waits(1.5)
@pytest.mark.parametrize("name", ["cold", "warm"])
def test_a_parked_reader_gets_its_answer_from_the_next_worker(mount, open_mode, name):
    """The request of a dead worker is answered, also when it waited for a backend."""
    m = mount(
        provider="test",
        files={"cold": content(1), "warm": content(1)},
        mount_options={"open": open_mode},
        options={"ttl": "1"},
    )
    expect_deaths(m)
    if name == "warm":
        harness.read(m / name)
        time.sleep(1.1)
    m.set(f"{name}.hang")
    with Reader(m / name, threads=4, run_ms=1) as reader:
        wait_for(lambda: len(m.calls("fetch", name)) >= 1 + (name == "warm"), 3, "a parked reader")
        pid = m.kill("worker")
        wait_for(lambda: fresh_pid(m, "worker", pid), 3, "a new worker")
        time.sleep(0.3)
        m.unset(f"{name}.hang")
        report = reader.wait(8)
    harness.assert_clean(report, newest=1)
    nothing_stuck(m)


def test_killed_with_many_parked_readers(mount):
    """Readers that are killed while no worker is there, and parked ones, go within a second."""
    m = mount(provider="test", files={"slow": b"x", "slow.hang": b"", "fast": content(1)})
    expect_deaths(m)
    harness.read(m / "fast")
    with harness.Hung(m / "slow", threads=200) as hung:
        wait_for(lambda: m.calls("fetch", "slow"), 3, "a parked reader")
        pid = m.kill("worker")
        wait_for(lambda: fresh_pid(m, "worker", pid), 3, "a new worker")
        assert version_of(harness.read(m / "fast")) == 1
        assert hung.kill() < 1 * harness.SLACK
    nothing_stuck(m)


def test_the_keeper_dies(mount):
    """Its children go too, nothing hangs, and the next mount detaches what is left."""
    m = mount(files={"a": content(1)})
    pids = m.pids()
    os.kill(pids["keeper"], signal.SIGKILL)
    wait_for(lambda: not any(map(harness.alive, pids.values())), 5, "the end of worker and mover")
    assert harness.outcome(lambda: os.stat(m / "a")) in ("ENOTCONN", "ECONNABORTED", "ENOENT")
    del m._keeper
    m.expect_log(r"stale|keeper|detach")
    m.start()
    assert version_of(harness.read(m / "a")) == 1
    assert len(harness.mounts_below(m.path)) == 1, "mounts are stacked"


def test_the_log_says_so(mount):
    m = mount(files={"a": b"1"})
    expect_deaths(m)
    pid = m.kill("worker")
    wait_for(lambda: fresh_pid(m, "worker", pid), 5, "a new worker")
    harness.read(m / "a")
    wait_for(lambda: re.search(rf"warning: worker died: pid={pid} ", m.log_text()), 2, "a line with its pid")
    assert m.status()["metrics"]["hushfs_takeovers_total"] >= 1
