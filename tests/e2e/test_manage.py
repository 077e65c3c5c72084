# SPDX-License-Identifier: Apache-2.0
"""umount, status, refresh and reload against a real mount, also one in trouble."""

import contextlib
import json
import os
import pathlib
import re
import signal
import stat
import tempfile
import time

import pytest
from cli import BIN, CONFIG, DENIED, DONE, FAILED, NOT_FOUND, USAGE, run, write

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="needs root and /dev/fuse"),
]


class Mount:
    def __init__(self, path, *options):
        path.chmod(0o755)
        self.path, self.files = path / "m", path / "files"
        self.path.mkdir()
        write(self.files / "a", "one")
        self.text = f"[mount]\npath = {self.path}\nuser = daemon\n[provider/f]\ntype = file\nroot = {self.files}\nttl = 1h\n"
        self.config = write(path / "c", self.text)
        result = run("mount", "-c", self.config, *options)
        assert result.status == DONE, result
        assert gone(self.no_mover_yet)
        status = self.status()
        self.pids = [status["keeper_pid"], status["worker_pid"], status["mover_pid"]]

    def status(self):
        return json.loads(run("status", "--json", self.path).out)

    def no_mover_yet(self):
        """It introduces itself a little after the mount answers; until then its pid is 0."""
        return self.status()["mover_pid"] == 0

    def is_mounted(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as lines:
            return any(line.split()[4] == str(self.path) for line in lines)

    def alive(self):
        """The processes that are there and no zombies."""
        found = []
        for pid in self.pids:
            try:
                with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
                    if stat.read().rsplit(")", 1)[1].split()[0] not in "ZX":
                        found.append(pid)
            except OSError:
                pass
        return found

    def kill(self, number, *pids):
        for pid in pids:
            assert pid > 1  # 0 would be our own process group
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def close(self):
        if self.is_mounted():
            run("umount", "-l", self.path)
        self.kill(signal.SIGKILL, *self.alive())


@pytest.fixture
def place():
    """A directory that, other than tmp_path, is not for root alone."""
    with tempfile.TemporaryDirectory(prefix="hushfs-manage-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@contextlib.contextmanager
def mounted(*options):
    """Not below tmp_path, which only root can enter: the worker is another user."""
    with tempfile.TemporaryDirectory(prefix="hushfs-manage-") as path:
        made = Mount(pathlib.Path(path), *options)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def mount():
    with mounted() as made:
        yield made


def gone(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("mode", (0o600, 0o666))
def test_mounting_needs_root(place, mode):
    """With a /dev/fuse for root alone, and with one that everybody may open, as most systems have it."""
    (place / "m").mkdir()
    os.chown(place / "m", 65534, 65534)
    config = write(place / "c", f"[mount]\npath = {place}/m\nuser = daemon\n[provider/e]\ntype = env\n")
    os.mknod(place / "fuse", stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
    (place / "fuse").chmod(mode)
    script = 'mount --bind "$1" /dev/fuse && exec setpriv --reuid 65534 --clear-groups "$2" mount -c "$3"'
    result = run("-m", "sh", "-c", script, "-", place / "fuse", BIN / "hushfs", config, program="unshare")
    assert result.status == FAILED and "needs root" in result.err, result


def test_umount_ends_all(mount):
    assert len(mount.alive()) == 3
    result = run("umount", mount.path)
    assert (result.status, result.out, result.err) == (DONE, b"", ""), result
    assert not mount.is_mounted()
    assert mount.pids[0] not in mount.alive()  # the keeper, at once: it was waited for
    assert gone(mount.alive)


def test_umount_of_another_name(mount):
    link = mount.path.parent / "link"
    link.symlink_to("m")
    assert run("umount", "./link/", cwd=mount.path.parent).status == DONE
    assert not mount.is_mounted()


def test_umount_while_busy(mount):
    with open(mount.path / "f" / "a", encoding="utf-8") as reader:
        result = run("umount", mount.path)
        assert result.status == FAILED
        assert "busy" in result.err
        assert "-l" in result.err
        assert mount.is_mounted()
        result = run("umount", "-l", mount.path)
        assert (result.status, result.err) == (DONE, "")
        assert not mount.is_mounted()
        assert reader.read() == "one"  # an open file can be read to its end
    assert gone(mount.alive)


def test_umount_of_a_dead_mount(mount):
    os.chdir("/")
    mount.kill(signal.SIGKILL, *mount.pids)
    assert gone(mount.alive)
    with pytest.raises(OSError):
        os.listdir(mount.path)
    result = run("umount", mount.path)
    assert (result.status, result.err) == (DONE, ""), result
    assert not mount.is_mounted()


def test_umount_of_a_mount_that_hangs(mount):
    mount.kill(signal.SIGSTOP, mount.pids[1])
    begin = time.monotonic()
    result = run("umount", "-l", mount.path)
    assert result.status == DONE, result
    assert time.monotonic() - begin < 10
    assert not mount.is_mounted()
    mount.kill(signal.SIGCONT, mount.pids[1])
    assert gone(mount.alive)


def test_status(mount):
    with open(mount.path / "f" / "a", encoding="utf-8") as reader:
        assert reader.read() == "one"
    result = run("status", mount.path)
    assert (result.status, result.err) == (DONE, "")
    assert result.out == (mount.path / ".hushfs" / "status").read_bytes()
    assert b"f/a" in result.out
    assert str(mount.path).encode() in run("status").out
    everything = json.loads(run("status", "--json").out)
    assert mount.pids[0] in [status["keeper_pid"] for status in everything if status]


def test_status_is_for_root(mount):
    result = run("status", mount.path, user=65534, group=65534)
    assert (result.status, result.out) == (DENIED, b""), result
    assert "for root and the owner" in result.err
    for arguments in (("refresh", mount.path / "f" / "a"), ("reload", mount.path)):
        result = run(*arguments, user=65534, group=65534)
        assert result.status == DENIED and "for root and the owner" in result.err, result


def test_what_is_below_a_mount_is_none(mount):
    for command in "umount", "status", "reload":
        result = run(command, mount.path / "f")
        assert result.status == NOT_FOUND and "is not a hushfs mount, but below one" in result.err, result
    assert mount.is_mounted()


def test_of_several_mounts_one_must_be_named(mount):
    with mounted():
        for command, how in (("reload", "MOUNTPOINT"), ("refresh", "-m")):
            result = run(command, *(["f/a"] if how == "-m" else []), cwd="/")
            assert result.status == USAGE and f"say which, with {how}" in result.err, result


def read(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("how", ("absolute", "relative", "below", "link"))
def test_refresh(mount, how):
    top = mount.path.parent
    (top / "link").symlink_to("m")
    arguments = {
        "absolute": [mount.path / "f" / "a"],
        "relative": ["m/f/a"],
        "below": ["-m", "m", "f/a"],
        "link": [top / "link" / "f" / "a"],
    }[how]
    assert read(mount.path / "f" / "a") == b"one"
    write(top / "new", "two")
    os.rename(top / "new", mount.files / "a")
    result = run("refresh", *arguments, cwd=top)
    assert (result.status, result.out, result.err) == (DONE, b"", ""), result
    assert read(mount.path / "f" / "a") == b"two"


def test_refresh_tells_the_first_failure_and_tries_all(mount):
    assert read(mount.path / "f" / "a") == b"one"
    write(mount.path.parent / "new", "two")
    os.rename(mount.path.parent / "new", mount.files / "a")
    result = run("refresh", mount.path / "f" / "none", mount.path / "f" / "a")
    assert result.status == NOT_FOUND
    assert "f/none" in result.err
    assert read(mount.path / "f" / "a") == b"two"


def test_reload(mount):
    write(mount.config, mount.text + f"[provider/g]\ntype = file\nroot = {mount.files}\n")
    result = run("reload", mount.path)
    assert (result.status, result.out, result.err) == (DONE, b"", ""), result
    assert read(mount.path / "g" / "a") == b"one"


def test_reload_with_an_error_keeps_the_old_one(mount):
    write(mount.config, mount.text + "[provider/g]\ntype = vlaut\n")
    result = run("reload", mount.path)
    assert (result.status, result.out) == (CONFIG, b""), result
    assert re.search(rf"{mount.config}:\d+: \[provider/g\]: unknown type", result.err)
    assert sorted(os.listdir(mount.path)) == ["f"]
    assert read(mount.path / "f" / "a") == b"one"
    write(mount.config, mount.text)
    assert run("reload", mount.path).status == DONE


def test_reload_keeps_what_the_command_line_said():
    with mounted("-o", "ro,nofail,deadline=3") as mount:
        write(mount.config, mount.text.replace("[mount]\n", "[mount]\ndeadline = 11\n"))
        result = run("reload", mount.path)
        assert (result.status, result.err) == (DONE, ""), result
        write(mount.config, f"[mount]\nuser = daemon\n[provider/f]\ntype = file\nroot = {mount.path}/x\n")
        result = run("reload", mount.path)
        assert result.status == CONFIG
        assert "must not be below the mount" in result.err
