# SPDX-License-Identifier: Apache-2.0
"""No copy of a secret outlives its release, and none ever stands in a log, an environment, an argument,
a status or a core dump."""

import base64
import glob
import json
import os
import pathlib
import signal
import time

import harness
import pytest
from harness import memscan, wait_for

pytestmark = pytest.mark.scans_memory

ARENA = 5  # HUSH_FD_ARENA of fs/process.h: the worker's (and keeper's) descriptor of the arena


def canary(size=48):
    """Not found by accident, nor in this shape in our own source."""
    return b"canary-" + base64.b32encode(os.urandom(size))[: size - 7]


def has_descriptor(pid, number):
    return os.path.exists(f"/proc/{pid}/fd/{number}")


def copies(mount, needle):
    """{who: what memscan found} for every process of the mount, arena included."""
    return {
        who: memscan(pid, needle, ARENA if who == "worker" and has_descriptor(pid, ARENA) else None)
        for who, pid in mount.pids().items()
    }


def assert_nowhere(mount, needle):
    """No whole copy and no quarter of one."""

    def left():
        found = copies(mount, needle)
        return {who: row for who, row in found.items() if row["whole"] or row["fragments"]}

    end = time.monotonic() + 5  # releases are asynchronous
    while bad := left():
        assert time.monotonic() < end, bad
        time.sleep(0.1)


def texts(mount):
    """All that is written about the mount, by name."""
    yield "log", mount.log.read_bytes()
    yield "said", (mount.base / "said").read_bytes()
    for who, pid in mount.pids().items():
        for file in ("cmdline", "environ", "maps", "comm"):
            yield f"{file} of {who}", pathlib.Path(f"/proc/{pid}/{file}").read_bytes()
    for file in (mount.path / ".hushfs").iterdir():
        if file.name in ("status", "status.json", "metrics", "version"):
            yield f".hushfs/{file.name}", harness.read(file)


def assert_unwritten(mount, needle):
    assert sorted(mount.pids()) == ["keeper", "mover", "worker"]
    for name, text in texts(mount):
        assert needle not in text, f"the value stands in {name}"


def test_the_scan_finds_a_value_that_is_held(mount):
    """The other tests mean something only if this holds: a cached value is found in the arena."""
    needle = canary()
    m = mount(files={"db": needle})
    assert harness.read(m / "db") == needle
    found = copies(m, needle)
    print(found)
    assert found["worker"]["whole"] >= 1
    assert not found["keeper"]["whole"] and not found["mover"]["whole"]


@pytest.mark.parametrize("size", [48, 5000, 60000])
@pytest.mark.parametrize("how", ["rotated", "removed", "instance removed"])
def test_nothing_is_left_after_release(mount, open_mode, how, size):
    """Read, held open, released: no process has a byte of it."""
    needle = canary(48)
    value = needle + b"." * (size - 48)
    m = mount(files={"db": value, "other": b"other"}, mount_options={"open": open_mode}, options={"ttl": "1"})
    fd = os.open(m / "db", os.O_RDONLY)
    assert os.read(fd, 1 << 20) == value
    for _ in range(3):
        harness.read(m / "db")
    if how == "rotated":
        m.put("db", b"another value")
        wait_for(lambda: harness.read(m / "db") == b"another value", 3, "the rotation")
    elif how == "removed":
        m.remove("db")
        wait_for(lambda: harness.outcome(lambda: harness.read(m / "db")) == "ENOENT", 5, "ENOENT")
    else:
        m.sections["provider/t"] = m.sections.pop("provider/s")
        m.write_config()
        m.reload()
        assert harness.outcome(lambda: os.stat(m / "db")) == "ENOENT"
    assert os.pread(fd, 1 << 20, 0) == value, "an open file lost its bytes"
    os.close(fd)
    assert_nowhere(m, needle)
    assert_unwritten(m, needle)


def test_nothing_is_left_of_a_map(mount, open_mode):
    """Fields, the JSON around them and what the parser made on the way."""
    needles = [canary(), canary()]
    value = json.dumps({"user": needles[0].decode(), "password": needles[1].decode()}).encode()
    m = mount(
        provider="test",
        files={"db": value, "db.fields": b""},
        mount_options={"open": open_mode},
        options={"as": "directory"},
    )
    assert harness.read(m / "db/user") == needles[0] and harness.read(m / "db/password") == needles[1]
    assert json.loads(harness.read(m / "db/.json"))["user"] == needles[0].decode()
    m.put("db", b'{"user":"u"}')
    m.refresh("db")
    assert harness.read(m / "db/user") == b"u"
    for needle in needles:
        assert_nowhere(m, needle)
        assert_unwritten(m, needle)


@pytest.mark.parametrize("how", ["an open file", "a file of an open directory", "a look into it", "a takeover"])
def test_nothing_is_left_of_a_map_that_was_in_use(mount, open_mode, how):
    """While it was replaced. The kernel would keep the names below a directory that has lost its own."""
    needle = canary()
    m = mount(
        provider="test",
        files={"db": b'{"user":"%s"}' % needle, "db.fields": b""},
        mount_options={"open": open_mode},
        options={"as": "directory"},
    )
    m.expect_log("worker")
    directory = os.open(m / "db", os.O_RDONLY | os.O_DIRECTORY)
    file = os.open("user", os.O_RDONLY, dir_fd=directory)
    if how == "an open file":
        os.close(directory)
    m.put("db", b'{"user":"u"}')
    m.refresh("db")
    assert harness.read(m / "db/user") == b"u"
    assert os.pread(file, 100, 0) == needle
    os.close(file)
    if how == "a takeover":
        old = m.kill("worker")
        wait_for(lambda: m.pids().get("worker") not in (None, old), 5, "a new worker")
    if how == "a look into it":
        os.stat("user", dir_fd=directory)
    elif how != "an open file":
        assert harness.read("user", dir_fd=directory) == needle
    if how != "an open file":
        os.close(directory)
    assert_nowhere(m, needle)


def test_nothing_is_left_of_a_map_below_which_somebody_stood(mount, open_mode):
    """Its name is a folder, too; the directory below it was in use while the map was replaced."""
    needle = canary()
    m = mount(
        provider="test",
        files={"db.value": b'{"user":"%s"}' % needle, "db.fields": b"", "db/sub/leaf": b'{"a":"1"}'},
        mount_options={"open": open_mode},
        options={"as": "directory"},
    )
    assert harness.read(m / "db/user") == needle and harness.read(m / "db/.json")
    assert set(os.listdir(m / "db")) >= {"user", "sub"} and harness.read(m / "db/.value")
    below = os.open(m / "db/sub", os.O_RDONLY | os.O_DIRECTORY)
    m.put("db.value", b'{"user":"u"}')
    m.refresh("db")
    assert harness.read(m / "db/user") == b"u"
    os.close(below)
    assert_nowhere(m, needle)


def test_nothing_is_left_of_a_credential_that_was_in_use(mount, open_mode):
    """By who went into its directory before it was made."""
    m = mount(
        files={"db": canary()}, provider="test", start=False, mount_options={"open": open_mode},
        options={"as": "directory"},
    )  # fmt: skip
    m.set(".once")
    m.set("db.dynamic")
    m.set("db.ttl", "600000")
    m.start()
    assert os.listdir(m.path / "s") == ["db"]
    directory = os.open(m / "db", os.O_PATH)
    needle = harness.read(".value", dir_fd=directory)
    file = os.open(".value", os.O_RDONLY, dir_fd=directory)
    m.put("db", canary())
    m.refresh("db")
    assert harness.read(m / "db/.value") != needle
    assert os.pread(file, 100, 0) == needle
    os.close(file)
    os.close(directory)
    assert_nowhere(m, needle)


def test_nothing_is_left_after_a_takeover(mount, open_mode):
    """The new worker frees what the old one had."""
    needle = canary()
    m = mount(files={"db": needle}, mount_options={"open": open_mode})
    m.expect_log("worker")
    fd = os.open(m / "db", os.O_RDONLY)
    assert os.read(fd, 100) == needle
    old = m.kill("worker")
    wait_for(lambda: m.pids().get("worker") not in (None, old), 5, "a new worker")
    m.put("db", b"another value")
    wait_for(lambda: harness.read(m / "db") == b"another value", 5, "the rotation")
    assert os.pread(fd, 100, 0) == needle
    os.close(fd)
    assert_nowhere(m, needle)


def test_many_rotations_leave_nothing(mount, open_mode):
    m = mount(files={"db": canary()}, mount_options={"open": open_mode})
    needles = [canary() for _ in range(20)]
    for needle in needles:
        m.put("db", needle)
        wait_for(lambda needle=needle: harness.read(m / "db") == needle, 3, "the rotation")
    used = m.status()["memory"]["used"]
    for needle in needles[:-1:6]:
        assert_nowhere(m, needle)
    assert used < 1 << 20


def test_failures_do_not_write_values(mount):
    """A value that cannot be shown (no JSON, too large, a bad name) is in no message."""
    needle = canary()
    m = mount(
        provider="test",
        files={"bad": b'{"password": "' + needle, "bad.fields": b""},
        options={"as": "directory"},
    )
    m.expect_log("s/bad|s/big|instance=s")
    assert harness.outcome(lambda: os.listdir(m / "bad")) == "EIO"
    assert harness.outcome(lambda: harness.read(m / "bad/password")) == "EIO"
    m.put("big", needle * 100_000)
    assert harness.outcome(lambda: harness.read(m / "big")) == "EFBIG"
    m.unset("bad", "big")
    assert_unwritten(m, needle)
    assert_nowhere(m, needle)


def test_the_environment_is_taken_and_wiped(mount):
    """[provider] type = env: the values leave /proc/PID/environ of every process."""
    needle = canary()
    m = mount(
        environ={"HUSHTEST_DB": needle.decode(), "UNRELATED": canary().decode()},
        sections={"provider/e": {"type": "env", "prefix": "HUSHTEST_"}},
    )
    names = os.listdir(m.path / "e")
    assert len(names) == 1 and harness.read(m.path / "e" / names[0]) == needle
    assert_unwritten(m, needle)
    assert_unwritten(m, m.environ["UNRELATED"].encode())


def core_files(mount):
    """Wherever a core could have gone (core_pattern may name a directory)."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    places = [mount.base / "cwd", mount.base, mount.source, pathlib.Path("/"), pathlib.Path("/tmp")]
    if pattern.startswith("/"):
        places.append(pathlib.Path(pattern).parent)
    return [f for place in places for f in glob.glob(f"{place}/*core*") if os.path.isfile(f)]


@pytest.mark.parametrize("who", ["worker", "mover", "keeper"])
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_no_core(mount, who, number):
    needle = canary()
    m = mount(files={"db": needle}, core=True)
    m.expect_log("worker|mover|keeper")
    assert harness.read(m / "db") == needle
    before = {f: os.stat(f).st_mtime for f in core_files(m)}
    pids = m.pids()
    cwd = os.readlink(f"/proc/{pids[who]}/cwd")
    m.kill(who, number)
    wait_for(lambda: not harness.alive(pids[who]), 5, "the end")
    time.sleep(0.3)
    new = [f for f in core_files(m) if before.get(f) != os.stat(f).st_mtime]
    new += [f for f in glob.glob(f"{cwd}/core*") if os.path.isfile(f) and f not in before and f not in new]
    for file in new:
        data = pathlib.Path(file).read_bytes()
        os.unlink(file)
        assert needle not in data, f"the core {file} holds the value"
    assert not new, f"a core was written: {new}"
    if who == "keeper":
        wait_for(lambda: not any(map(harness.alive, pids.values())), 5, "the end of the others")
        harness.force_umount(m.path)


def test_others_of_the_same_user_cannot_look(mount):
    """Not dumpable: the worker's own uid reads neither its memory nor its environment."""
    m = mount(files={"db": b"x"})
    for who in ("worker", "mover"):
        pid = m.pids()[who]
        for file in ("mem", "environ", "maps", "fd/3"):
            got = harness.outcome(
                lambda pid=pid, file=file: harness.run_as(
                    harness.DAEMON, harness.DAEMON, [], lambda: os.close(os.open(f"/proc/{pid}/{file}", os.O_RDONLY))
                )
            )
            assert got == "EACCES", f"{file} of {who}"


def test_the_worker_has_no_privileges(mount):
    m = mount(files={"db": b"x"})
    for who in ("worker", "mover"):
        status = dict(
            line.split(":\t", 1)
            for line in pathlib.Path(f"/proc/{m.pids()[who]}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert set(status["Uid"].split()) == {str(harness.DAEMON)}, who
        for key in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[key], 16) == 0, f"{key} of {who}"
        assert status["NoNewPrivs"] == "1", who
        assert status["Groups"].split() in ([], [str(harness.DAEMON)]), who
