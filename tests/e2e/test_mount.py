# SPDX-License-Identifier: Apache-2.0
"""The life of a mount: how it comes, what it refuses, how it goes."""

import os
import re
import signal
import subprocess
import time

import harness
import pytest
from harness import content, outcome, version_of, wait_for


def test_it_answers_when_the_command_returns(mount):
    for _ in range(3):
        m = mount(files={"db": content(1)})
        assert version_of(harness.read(m / "db")) == 1
        assert m.status()["worker_generation"] == 1
        assert sorted(m.pids()) == ["keeper", "mover", "worker"]
        status = m.status()
        assert (status["worker_pid"], status["mover_pid"]) == (m.pids()["worker"], m.pids()["mover"])


def test_two_mounts_know_nothing_of_each_other(mount):
    one, two = mount(files={"db": content(1)}), mount(files={"db": content(2)})
    one.umount()
    wait_for(lambda: not any(map(harness.alive, one.seen_pids)), 5, "the end of the first")
    assert version_of(harness.read(two / "db")) == 2


def test_umount_ends_everything(mount):
    m = mount(files={"db": content(1)})
    harness.read(m / "db")
    m.umount()
    assert not harness.mounts_below(m.path)
    assert not any(map(harness.alive, m.seen_pids)), "hushfs umount returned before the end"
    assert os.listdir(m.path) == []


def test_umount_by_umount(mount):
    """The system's own command does as well."""
    m = mount(files={"db": content(1)})
    subprocess.run(["umount", m.path], check=True)
    wait_for(lambda: not any(map(harness.alive, m.seen_pids)), 5, "the end")


def test_umount_while_busy(mount):
    m = mount(files={"db": content(1)})
    with open(m / "db", "rb") as held:
        assert m.command("umount", m.path, check=False).returncode == 1
        assert version_of(harness.read(m / "db")) == 1, "a refused umount broke the mount"
        m.umount(lazy=True)
        assert not harness.mounts_below(m.path)
        assert version_of(held.read()) == 1, "an open file lost its bytes"
    wait_for(lambda: not any(map(harness.alive, m.seen_pids)), 5, "the end")


def test_umount_of_what_is_no_mount(mount):
    m = mount(start=False)
    assert m.command("umount", m.path, check=False).returncode == 4
    assert m.command("umount", m.base / "nothing", check=False).returncode == 4


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z hushfs-(keeper|worker)\[\d+\]: (info|warning|error): (.*)")


def test_a_log_file_tells_a_mount_from_its_beginning_to_its_end(mount):
    m = mount(files={"db": content(1)})
    pids = m.pids()
    m.reload()
    m.expect_log("worker died")
    killed = m.kill("worker")
    wait_for(lambda: m.pids().get("worker") not in (None, killed), 5, "a new worker")
    assert version_of(harness.read(m / "db")) == 1
    m.umount()
    wait_for(lambda: not any(map(harness.alive, m.seen_pids)), 5, "the end")
    lines = [LINE.fullmatch(line) for line in m.log_text().splitlines()]
    assert all(lines), m.log_text()
    said = [line[3] for line in lines]
    assert said[0] == f"mounted '{m.path}' instances=1"
    assert f"unmounted '{m.path}'" in said[-2:], said  # the end of the last worker may be told after it
    assert sum("mounted '" in text for text in said) == 2
    assert f"worker replaced, for a reload: pid={pids['worker']}" in said
    assert f"worker died: pid={killed} signal=9" in said
    assert not any("exit=74" in text for text in said)


def test_a_log_that_is_no_file_is_for_the_journal(mount):
    m = mount(start=False, files={"db": content(1)})
    process = subprocess.Popen([m.programs / "hushfs", "mount", "-f", "-c", m.config], stderr=subprocess.PIPE)
    wait_for(lambda: harness.mounts_below(m.path) and (m / "db").exists(), 10, "a mount")
    m.umount()
    said = process.communicate(timeout=10)[1].decode().splitlines()
    assert said[:2] == [f"<6>hushfs-worker: mounted '{m.path}' instances=1", f"<6>hushfs-keeper: unmounted '{m.path}'"]
    assert all(line.startswith("<6>hushfs-keeper: worker ended: ") for line in said[2:]), said


def refused(m, status=None):
    """hushfs mount fails, says why, and leaves neither mount nor process."""
    done = m.command("mount", "-c", m.config, "--log", m.log, check=False)
    assert done.returncode == status if status else done.returncode != 0
    assert done.stderr.strip(), "no word about it"
    assert not harness.mounts_below(m.base)
    wait_for(lambda: not m.processes(), 2, "the end of what was started")
    m.log.unlink(missing_ok=True)
    return done.stderr


def test_a_mount_point_that_is_not_there(mount):
    m = mount(start=False)
    m.path.rmdir()
    assert str(m.path) in refused(m)
    m.path.write_bytes(b"")
    assert str(m.path) in refused(m)


def test_a_mount_point_that_is_a_link(mount):
    m = mount(start=False)
    m.path.rmdir()
    (m.base / "elsewhere").mkdir()
    m.path.symlink_to("elsewhere")
    assert str(m.path) in refused(m)


def test_a_mount_point_that_is_taken(mount):
    m = mount(files={"db": content(1)})
    done = m.command("mount", "-c", m.config, "--log", m.base / "log2", check=False)
    assert done.returncode != 0 and str(m.path) in done.stderr
    assert len(harness.mounts_below(m.path)) == 1, "mounts are stacked"
    assert version_of(harness.read(m / "db")) == 1


def test_a_stale_mount_is_replaced(mount):
    m = mount(files={"db": content(1)})
    pids = m.pids()
    for who in ("keeper", "worker", "mover"):
        os.kill(pids[who], signal.SIGKILL)
    wait_for(lambda: not any(map(harness.alive, pids.values())), 5, "the end")
    m.expect_log("stale|detach|keeper")
    del m._keeper
    m.start()
    assert version_of(harness.read(m / "db")) == 1
    assert len(harness.mounts_below(m.path)) == 1, "mounts are stacked"


@pytest.mark.parametrize(
    "text, word",
    [
        ("[mount]\npath = {path}\n[provider/s]\ntype = file\nroot = {source}\ncolour = red\n", "colour"),
        ("[mount]\npath = {path}\n[provider/s]\ntype = file\nroot = {path}/s\n", "root"),
        ("[mount]\npath = {path}\nuser = nobody-of-this-name\n[provider/s]\ntype = file\nroot = {source}\n", "user"),
    ],
    ids=["unknown key", "below itself", "unknown user"],
)
def test_a_configuration_that_is_wrong(mount, text, word):
    m = mount(start=False)
    m.write_config(text.format(path=m.path, source=m.source))
    said = refused(m, 3)
    assert f"{m.config}:" in said and word in said


def test_in_the_foreground(mount):
    """-f stays; SIGTERM unmounts."""
    m = mount(files={"db": content(1)}, start=False)
    process = subprocess.Popen([m.programs / "hushfs", "mount", "-f", "-c", m.config, "--log", m.log])
    try:
        wait_for(lambda: harness.mounts_below(m.path), 10, "the mount")
        assert version_of(harness.read(m / "db")) == 1
        m.pids()
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert not harness.mounts_below(m.path)
    finally:
        process.kill()
        process.wait()


def test_what_the_processes_hold_open(mount):
    """Nothing of the caller's: descriptors, directory."""
    with open("/etc/passwd", "rb") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        m = mount(files={"db": b"x"}, start=False)
        number = os.dup2(leaked.fileno(), 63, inheritable=True)
        subprocess.run(
            [m.programs / "hushfs", "mount", "-c", m.config, "--log", m.log], check=True, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=m.base / "cwd", timeout=30,
        )  # fmt: skip
        os.close(number)
    harness.Mount.live.append(m)
    for who, pid in m.pids().items():
        held = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert "/etc/passwd" not in held.values(), f"{who}: {held}"
        assert not str(os.readlink(f"/proc/{pid}/cwd")).startswith(str(m.base)), who


def test_many_mounts_and_umounts(mount):
    m = mount(files={"db": content(1)})
    for _ in range(5):
        m.umount()
        del m._keeper
        m.start()
        assert version_of(harness.read(m / "db")) == 1


def test_umount_with_parked_readers(mount):
    """A lazy umount ends those who wait, in time."""
    m = mount(provider="test", files={"slow": b"x", "slow.hang": b""}, mount_options={"deadline": "2s"})
    m.expect_log("fetch failed path=s/slow .*TIMEOUT")
    with harness.Hung(m / "slow", 50) as hung:
        wait_for(lambda: m.calls("fetch", "slow"), 5, "a parked reader")
        begin = time.monotonic()
        m.umount(lazy=True)
        report = hung.wait(5)
        assert time.monotonic() - begin < 4 * harness.SLACK
        assert report["ok"] == 0 and sum(report["errors"].values()) == 50
    wait_for(lambda: not any(map(harness.alive, m.seen_pids)), 5, "the end")
    assert outcome(lambda: os.stat(m / "slow")) == "ENOENT"
