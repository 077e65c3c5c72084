# SPDX-License-Identifier: Apache-2.0
"""The tests' own tools: each must pass a good writer and fail a bad one, without any mount of ours."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import harness
import pytest
from harness import Hung, Inotify, Reader, Rotator, atomic_write, content, memscan, version_of


@pytest.fixture
def directory():
    """A plain directory that everybody may enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hushfs-e2e-", dir="/dev/shm"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def rotated(directory, write, seconds=1.0):
    path = directory / "secret"
    write(path, content(1, 30000))
    with Reader(path, threads=4, pause_us=100) as reader:
        time.sleep(0.1)
        with Rotator(lambda data: write(path, data), per_second=50, size=30000) as rotator:
            time.sleep(seconds)
            last = rotator.stop()
        time.sleep(0.1)
        return reader.stop(), last


def test_content_is_self_describing():
    for size in (32, 33, 100, 4096, 65536, None):
        data = content(7, size)
        assert version_of(data) == 7
        assert size is None or len(data) == size
    for broken in (data[:-1], data + b"x", data[:40] + b"#" + data[41:], b"", content(8, 99)[:50]):
        with pytest.raises(AssertionError):
            version_of(broken)


def test_lanes_leave_nothing_out():
    groups = {(f"module{i}", mode): i % 7 for i in range(20) for mode in ("checked", "kernel")}
    for count in range(1, 6):
        parts = harness.lanes(groups, count)
        assert len(parts) == count and sorted(group for part in parts for group in part) == sorted(groups)
        lengths = [sum(groups[group] for group in part) for part in parts]
        assert max(lengths) - min(lengths) <= max(groups.values())


def test_hung_that_is_done_at_once(monkeypatch, tmp_path):
    """What came together with the first line is not lost."""
    program = tmp_path / "hung"
    program.write_text("#!/bin/sh\nprintf 'waiting\\n{\"ok\":1}\\n'\n")
    program.chmod(0o755)
    monkeypatch.setattr(harness, "tool", lambda _: str(program))
    with Hung("/", threads=1) as hung:
        assert hung.wait(5) == {"ok": 1}


def test_reader_passes_an_atomic_writer(directory):
    report, last = rotated(directory, atomic_write)
    harness.assert_clean(report, newest=last)
    assert report["maps"] > 0 and report["oldest"] == 1


def overwrite(path, data):
    """In place, in two pieces: what no writer of secrets may do."""
    with open(path, "r+b" if path.exists() else "w+b") as out:
        out.write(data[: len(data) // 2])
        out.flush()
        time.sleep(0.002)
        out.write(data[len(data) // 2 :])


def unlink_first(path, data):
    if path.exists():
        path.unlink()
        time.sleep(0.005)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "write, key", [(overwrite, "torn"), (unlink_first, "failed")], ids=["torn", "gap"]
)
def test_reader_fails_a_bad_writer(directory, write, key):
    report, _ = rotated(directory, write)
    assert report[key] > 0
    with pytest.raises(AssertionError):
        harness.assert_clean(report)


def test_reader_sees_versions_go_backwards(directory):
    path = directory / "secret"
    atomic_write(path, content(1))
    with Reader(path, threads=1, pause_us=100) as reader:
        for version in (2, 3, 2):
            atomic_write(path, content(version))
            time.sleep(0.05)
        assert reader.stop()["backwards"] > 0


def test_reader_tells_mixed_fields(directory):
    """Two fields replaced one after the other in one directory are what a swap of directories is not."""

    def swap(version):
        new = directory / "new"
        new.mkdir()
        for field in ("user", "password"):
            (new / field).write_bytes(content(version, 100))
        old = directory / "old"
        (directory / "db").rename(old)
        new.rename(directory / "db")
        shutil.rmtree(old)

    (directory / "db").mkdir()
    for version in range(1, 30):
        for field in ("user", "password"):
            atomic_write(directory / "db" / field, content(version, 100))
            if version == 1:
                continue
            time.sleep(0.003)
        if version == 1:
            reader = Reader(directory / "db", fields=("user", "password"), threads=2, pause_us=10)
            time.sleep(0.1)
    assert reader.stop()["mixed"] > 0
    with Reader(directory / "db", fields=("user", "password"), threads=2, run_ms=100) as reader:
        harness.assert_clean(reader.wait(5), newest=29)


def test_reader_reports_errors_and_time(directory):
    os.mkfifo(directory / "pipe")
    opener = threading.Timer(0.3, lambda: os.close(os.open(directory / "pipe", os.O_WRONLY)))
    opener.start()
    with Reader(directory / "pipe", directory / "nothing", threads=1, run_ms=200) as reader:
        report = reader.wait(5)
    assert report["errors"] == {"ENOENT": report["failed"]} or report["torn"] == 1
    assert report["torn_why"] == "empty" and report["longest_ms"] >= 200


def test_hung_counts_and_dies(directory):
    atomic_write(directory / "f", b"x")
    with Hung(directory / "f", threads=300) as hung:
        report = hung.wait(10)
    assert report["ok"] == 300 and not report["errors"]
    with Hung(directory / "nothing", threads=5) as hung:
        assert hung.wait(10)["errors"] == {"ENOENT": 5}
    os.mkfifo(directory / "pipe")
    with Hung(directory / "pipe", threads=50) as hung:
        time.sleep(0.1)
        assert hung.kill() < 1


def victim(code, needle):
    """A process that holds the needle as code says, and waits."""
    program = f"import sys, mmap, os\nn = bytes(b ^ 0x55 for b in bytes.fromhex(sys.argv[1]))\n{code}\n"
    program += "print('ready', flush=True)\nsys.stdin.read()\n"
    masked = bytes(b ^ 0x55 for b in needle).hex()
    process = subprocess.Popen(
        [sys.executable, "-c", program, masked], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    return process


NEEDLE = b"canary-" + os.urandom(20).hex().encode()


@pytest.mark.parametrize(
    "code, whole, fragments",
    [
        ("n = None", 0, 0),
        ("keep = mmap.mmap(-1, 8192); keep[4090:4090 + len(n)] = n; n = None", 1, 4),
        ("keep = mmap.mmap(-1, 4096); keep[100:120] = n[10:30]; n = None", 0, 1),
    ],
    ids=["none", "across-pages", "fragment"],
)
def test_memscan_counts(code, whole, fragments):
    process = victim(f"{code}\nimport gc; gc.collect()", NEEDLE)
    try:
        found = memscan(process.pid, NEEDLE)
        # Python itself may leave copies behind of what was dropped; a planted one comes on top.
        base = memscan_of_nothing()
        assert found["scanned"] > 1 << 20
        assert found["whole"] - base["whole"] >= whole
        assert found["fragments"] - base["fragments"] >= fragments
        if not whole:
            assert found["whole"] <= base["whole"]
    finally:
        process.stdin.close()
        process.wait()


def memscan_of_nothing():
    process = victim("n = None", NEEDLE)
    try:
        return memscan(process.pid, NEEDLE)
    finally:
        process.stdin.close()
        process.wait()


def test_memscan_reads_a_descriptor():
    """Also memory that no process has mapped, as an arena behind a memfd."""
    code = "fd = os.memfd_create('a'); os.ftruncate(fd, 1 << 20); os.pwrite(fd, n, 70000); os.dup2(fd, 50)"
    process = victim(f"{code}\nn = None", NEEDLE)
    try:
        without = memscan(process.pid, NEEDLE)
        assert memscan(process.pid, NEEDLE, 50)["whole"] == without["whole"] + 1
    finally:
        process.stdin.close()
        process.wait()


def test_inotify_sees_an_atomic_replace(directory):
    path = directory / "secret"
    atomic_write(path, b"1")
    with Inotify(directory, path) as watch:
        atomic_write(path, b"2")
        wanted = [(str(directory), "MOVED_TO", "secret"), (str(path), "DELETE_SELF", "")]
        watch.wait(lambda e: all(any(w == (p, b, n) for p, bits, n in e for b in bits) for w in wanted), 2)
        assert watch.events(0.1) == []


def test_run_as():
    assert harness.run_as(33, 33, [4], lambda: (os.getuid(), os.getgroups())) == (33, [4])
    with pytest.raises(PermissionError):
        harness.as_nobody(lambda: open("/etc/shadow", "rb"))
    assert harness.run_as(0, 0, [], lambda: os.chroot("/") or "may") == "may"
    with pytest.raises(PermissionError):
        harness.run_as(0, 0, [], lambda: os.chroot("/"), capabilities=False)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        harness.as_nobody(lambda: 1 / 0)


def test_log_check():
    class Log(harness.Mount):
        def __init__(self, text):
            self.text, self.expected = text, []

        def log_text(self):
            return self.text

    bad = ["level=warning x", "ERROR: AddressSanitizer: heap", "<3>cannot", "assertion failed", "2 leaks",
           "2026-11-29T12:00:00.123Z hushfs-keeper[7]: warning: mover died: pid=8 signal=9",
           "2026-11-29T12:00:00.123Z hushfs-worker[7]: error: instance s: wrong configuration: why"]
    assert Log("\n".join(bad)).bad_log_lines() == bad
    log = Log("last_error=none\nno errors_total\n<6>event=mounted\n2026-11-29T12:00:00.123Z hushfs-worker[7]: info: mounted '/m'\nfetch warning=slow")
    log.expect_log("warning=slow")
    assert log.bad_log_lines() == []


def test_threads_in_state():
    process = subprocess.Popen(["sleep", "60"])
    try:
        harness.wait_for(lambda: harness.threads_in_state(process.pid, "S") == [process.pid], 2)
        process.send_signal(signal.SIGSTOP)
        harness.wait_for(lambda: harness.threads_in_state(process.pid, "T") == [process.pid], 2)
        assert harness.children(os.getpid())[process.pid] == "sleep"
    finally:
        process.kill()
        process.wait()
    assert not harness.alive(process.pid)
