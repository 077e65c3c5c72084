# SPDX-License-Identifier: Apache-2.0
"""Credentials that a backend makes for each fetch: one for all readers, kept alive by their lease,
replaced before they end, handed from worker to worker, given back when the mount ends."""

import os
import signal
import stat
import subprocess
import threading
from contextlib import closing

import harness
import pytest
from harness import Inotify, wait_for
from test_takeover import expect_deaths


def lease_mount(mount, lease="renewable", ttl_ms=600_000, **more):
    """A mount whose s/db is "cred" and a number, with the lease db@NUMBER."""
    m = mount(files={"db": b"cred"}, provider="test", start=False, **more)
    m.set("db.dynamic")
    m.set("db.ttl", str(ttl_ms))
    m.set("db.lease", lease)
    return m.start()


def new_worker(m):
    old = m.kill("worker")
    wait_for(lambda: m.pids().get("worker") not in (None, old), 5, "a new worker")


def test_one_credential_for_all(mount, open_mode):
    m = lease_mount(mount, options={"ttl": "1"}, mount_options={"open": open_mode})
    m.set("db.delay", "300")
    seen, go = [], threading.Barrier(101)

    def one():
        go.wait()
        os.stat(m / "db")
        seen.append(harness.read(m / "db"))

    threads = [threading.Thread(target=one) for _ in range(100)]
    for thread in threads:
        thread.start()
    go.wait()
    for thread in threads:
        thread.join()
    assert os.listdir(m.path / "s") == ["db"]
    assert os.stat(m / "db").st_size == len(seen[0])
    assert len(seen) == 100 and set(seen) == {b"cred1"}
    assert m.calls("fetch") == ["fetch db"]
    assert int(m.xattr("db")["expires"]) > 500
    row = m.secret("db")
    assert (row["dynamic"], row["lease"], row["renewable"]) == (True, "db@1", True)
    assert 0 < row["next_ms"] < row["expires_ms"] <= 600_000
    assert "lease db@1, renewed in" in m.command("status", m.path).stdout


def lazy_mount(mount, **more):
    """Where the backend says of itself that each read makes a credential; s/db is a directory."""
    m = mount(files={"db": b"cred"}, provider="test", start=False, options={"as": "directory"}, **more)
    m.set(".once")
    m.set("db.dynamic")
    m.set("db.ttl", "600000")
    m.start()
    assert os.listdir(m.path / "s") == ["db"]
    return m


def shell(m, script):
    done = subprocess.run(["bash", "-c", script], cwd=m.path / "s", capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def test_a_look_makes_no_credential(mount, open_mode):
    m = lazy_mount(mount, mount_options={"open": open_mode})
    for _ in range(3):
        assert stat.S_ISDIR(os.stat(m / "db").st_mode)
    assert "db" in shell(m, "ls -la && test -d db && find . -maxdepth 1 -newer / >/dev/null; cd db")
    assert m.calls("fetch") == []


def test_what_is_in_it_is_the_gate(mount, open_mode):
    m = lazy_mount(mount, mount_options={"open": open_mode})
    m.set("db.delay", "300")
    seen, go = [], threading.Barrier(51)

    def one(i):
        go.wait()
        if i % 2:
            assert os.listdir(m / "db") == [".value"]
        seen.append(harness.read(m / "db/.value"))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(50)]
    for thread in threads:
        thread.start()
    go.wait()
    for thread in threads:
        thread.join()
    assert len(seen) == 50 and len(set(seen)) == 1, set(seen)
    assert harness.outcome(lambda: os.stat(m / "db/none")) == "ENOENT"
    assert m.calls("fetch") == ["fetch db"]


def test_who_stands_in_it_sees_one_version(mount, open_mode):
    m = lazy_mount(mount, mount_options={"open": open_mode})
    inside = subprocess.Popen(["bash"], cwd=m / "db", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(command):
        inside.stdin.write(f"echo $({command} 2>&1)\n")
        inside.stdin.flush()
        return inside.stdout.readline().strip()

    with closing(inside.stdin):
        assert m.calls("fetch") == []
        first = say("cat .value")
        assert first.startswith("cred")
        assert say("ls -A") == ".value"
        assert say("cat .value") == first
        assert m.calls("fetch") == ["fetch db"]
        m.command("refresh", m / "db")
        second = harness.read(m / "db/.value").decode()
        assert second.startswith("cred") and second != first
        assert say("cat .value") in (first, "cat: .value: Stale file handle")
    assert inside.wait(5) == 0


def test_a_failure_shows_inside(mount, open_mode):
    m = lazy_mount(mount, mount_options={"open": open_mode})
    m.set("db.error", "DENIED")
    m.expect_log("db")
    assert stat.S_ISDIR(os.stat(m / "db").st_mode)
    assert harness.outcome(lambda: harness.read(m / "db/.value")) == "EACCES"
    assert harness.outcome(lambda: os.listdir(m / "db")) == "EACCES"


@pytest.mark.waits(13)
def test_renewed_by_its_lease(mount):
    m = lease_mount(mount, ttl_ms=6000)
    inode = os.stat(m / "db").st_ino
    assert harness.read(m / "db") == b"cred1"
    wait_for(lambda: len(m.calls("renew", "db@1")) == 3, 20, "three renewals")
    assert harness.read(m / "db") == b"cred1" and os.stat(m / "db").st_ino == inode
    assert len(m.calls("fetch")) == 1


@pytest.mark.waits(13)
def test_replaced_before_its_end(mount):
    m = lease_mount(mount, lease="no", ttl_ms=15000)
    held = os.open(m / "db", os.O_RDONLY)
    assert os.pread(held, 100, 0) == b"cred1"
    with Inotify(m.path / "s") as watch:
        watch.wait(lambda es: any("MOVED_TO" in bits and name == "db" for _, bits, name in es), 15)
    assert int(m.xattr("db")["expires"]) >= 13
    assert harness.read(m / "db") == b"cred2"
    assert os.pread(held, 100, 0) == b"cred1"
    assert m.calls() == ["fetch db", "fetch db"]
    os.close(held)


@pytest.mark.waits(4)
def test_replaced_when_it_nears_its_last_end(mount):
    m = lease_mount(mount, ttl_ms=6000)
    m.set("db.renew.ttl", "2000")
    assert harness.read(m / "db") == b"cred1"
    wait_for(lambda: len(m.calls("fetch")) == 2, 10, "another credential")
    assert m.calls() == ["fetch db", "renew db@1", "fetch db"]
    wait_for(lambda: harness.read(m / "db") == b"cred3", 2, "the new one")


@pytest.mark.waits(6)
def test_takeover_keeps_it_and_the_end_revokes_it(mount):
    m = lease_mount(mount, ttl_ms=9000)
    expect_deaths(m)
    m.set("other", b"cred")
    for control in (".dynamic", ".lease"):
        m.set("other" + control)
    held = os.open(m / "db", os.O_RDONLY)
    assert os.read(held, 100) == b"cred1"
    assert harness.read(m / "other") == b"cred2"
    for _ in range(3):
        new_worker(m)
        assert harness.read(m / "db") == b"cred1"
        assert harness.read(m / "other") == b"cred2"
    m.reload()
    assert harness.read(m / "db") == b"cred1"
    wait_for(lambda: m.calls("renew", "db@1"), 10, "a renewal by another worker")
    assert len(m.calls("fetch")) == 2 and not m.calls("revoke")
    m.refresh("db")
    current = harness.read(m / "db").decode().replace("cred", "db@")
    assert os.pread(held, 100, 0) == b"cred1"
    os.close(held)  # the superseded one goes with its last reader, and ends by itself
    m.status()  # the kernel tells of a close before it asks for more
    last = os.open(m / "other", os.O_RDONLY)
    m.umount(lazy=True)
    assert not m.calls("revoke")
    os.close(last)
    wait_for(lambda: not m.processes(), 10, "the end")
    assert sorted(m.calls("revoke")) == sorted(["revoke other@2", f"revoke {current}"])


@pytest.mark.waits(3)
def test_the_end_of_the_keeper_revokes_and_waits(mount):
    """Longer than a worker without leases would get."""
    m = lease_mount(mount)
    m.set("db.revoke.delay", "3000")
    m.set("bad", b"cred")
    m.set("bad.dynamic")
    m.set("bad.lease")
    m.set("bad.revoke.error", "UNAVAILABLE")
    m.expect_log("revoke failed path=s/bad provider=test status=UNAVAILABLE")
    assert harness.read(m / "db") == b"cred1" and harness.read(m / "bad") == b"cred2"
    held = os.open(m / "db", os.O_RDONLY)  # superseded, and still open
    m.refresh("db")
    assert harness.read(m / "db") == b"cred3"
    m.kill("keeper", signal.SIGTERM)
    wait_for(lambda: not m.processes(), 10, "the end")
    os.close(held)
    assert sorted(m.calls("revoke")) == ["revoke bad@2", "revoke db@1", "revoke db@3"]
    assert "revoke failed path=s/bad" in m.log_text() and "path=s/db" not in m.log_text()


def test_stash_survives_the_worker(mount):
    m = mount(files={"db": b"one"}, provider="test", start=False)
    expect_deaths(m)
    m.set(".stash")
    m.start()
    assert m.calls() == ["login 0"]
    for i in range(3):
        new_worker(m)
        assert harness.read(m / "db") == b"one"
        assert len(m.calls("resume", "0")) == i + 1
    m.reload()
    assert len(m.calls("resume", "0")) == 4 and len(m.calls("login")) == 1
