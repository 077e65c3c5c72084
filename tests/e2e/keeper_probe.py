# SPDX-License-Identifier: Apache-2.0
"""What the tests of the keeper share: a keeper with a probe in place of the worker.

The probe is tests/tools/probe_worker.c. Needs root and /dev/fuse; HUSHFS_BIN names the directory
of the programs.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import threading
import time

import pytest

BIN = os.environ.get("HUSHFS_BIN", "")
PROGRAMS = ("hushfs-keeper", "hushfs-mover", "probe_worker")
USER = pwd.getpwnam("nobody")

needs = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse"),
    pytest.mark.skipif(
        not all(os.access(os.path.join(BIN, p), os.X_OK) for p in PROGRAMS),
        reason="HUSHFS_BIN does not name the programs",
    ),
]

# What `hushfs check` does, as far as the keeper sees it.
CHECK = """#!/bin/sh
[ "$1 $2 $4 $5" = "check -c --emit-fd 3" ] || exit 2
grep -q hang "$3" && sleep 60
if grep -q bad "$3"; then echo "$3:1: bad word" >&2; exit 3; fi
cat "$3" >&3
"""


def eventually(what, seconds=15.0):
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.01)
    return value


def mounts(path, pid="self"):
    with open(f"/proc/{pid}/mountinfo") as f:
        return [line for line in f if line.split()[4] == str(path)]


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except FileNotFoundError:
        return []


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


class Keeper:
    def __init__(self, base):
        self.base = base
        self.bin = base / "bin"
        self.mnt = base / "mnt"
        self.config = base / "hushfs.conf"
        self.log = base / "log"
        self.proc = None
        self.first = ""
        self.bin.mkdir()
        self.mnt.mkdir()
        for program in PROGRAMS:
            name = program.replace("probe_worker", "hushfs-worker")
            shutil.copy(os.path.join(BIN, program), self.bin / name)
        (self.bin / "hushfs").write_text(CHECK)
        (self.bin / "hushfs").chmod(0o755)

    def start(self, *args, config="one", mountpoint=None, user="nobody", wait=True, background=False,
              reloads=True):
        """Start it as `hushfs mount` does. self.first: what came out of the ready pipe."""
        self.config.write_text(config + "\n")
        config_fd = os.memfd_create("config", os.MFD_ALLOW_SEALING)
        os.write(config_fd, self.config.read_bytes())
        env_fd = os.memfd_create("env")
        ready, ready_fd = os.pipe()
        fds = (config_fd, env_fd, ready_fd)
        command = [self.bin / "hushfs-keeper", "--config-fd", str(config_fd), "--env-fd", str(env_fd)]
        command += ["--ready-fd", str(ready_fd), "--user", user]
        command += ["--config", self.config] if reloads else []
        command += ["--log", self.log] + ([] if background else ["--foreground"])
        command += [*args, "--", mountpoint or self.mnt]
        environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "CANARY": "of-the-environment"}
        self.proc = subprocess.Popen(command, pass_fds=fds, env=environ)
        for fd in fds:
            os.close(fd)
        if wait:
            with os.fdopen(ready) as f:
                self.first = f.read(1)
                if self.first == "E":
                    self.first += f.readline().rstrip("\n")
        else:
            os.close(ready)
        return self

    def fails(self, *args, **kwargs):
        """Start it, expect it to say why not. "E<status> <text>"."""
        self.start(*args, **kwargs)
        status = self.proc.wait(5)
        assert self.first.startswith(f"E{status} "), self.first
        assert self.first[len("E1 "):] in self.log_text()
        return self.first

    def log_text(self):
        return self.log.read_text() if self.log.exists() else ""

    def who(self):
        """The content of the file, which the worker makes up."""
        with open(self.mnt / "pid") as f:
            return dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)

    def child(self, name):
        pids = [p for p in children(self.proc.pid) if name_of(p) == name and alive(p)]
        return pids[0] if pids else None

    def worker(self):
        return eventually(lambda: self.child("hushfs-worker"))

    def mover(self):
        return eventually(lambda: self.child("hushfs-mover"))

    def stall(self):
        """Leave the mover waiting in rename(2), which it cannot be killed in."""
        mover = self.mover()
        worker = eventually(lambda: self.who()["hellos"] == "1" and self.worker())

        def call():
            with open(f"/proc/{mover}/syscall") as f:
                return f.read().split()[0]

        idle = eventually(lambda: (c := call()) != "running" and c)
        os.kill(worker, signal.SIGUSR1)
        eventually(lambda: call() not in (idle, "running"))
        time.sleep(0.1)  # until the worker has it
        return mover

    def all(self):
        return [self.proc.pid, self.worker(), self.mover()]

    def stop(self):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(6)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        while mounts(self.mnt):
            subprocess.run(["umount", "-l", self.mnt], check=True)


@pytest.fixture
def base(tmp_path):
    """A directory that the worker's user can reach, unlike pytest's own."""
    for path in [tmp_path, *tmp_path.parents]:
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & stat.S_IXOTH:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    return tmp_path


@pytest.fixture
def keeper(base):
    k = Keeper(base)
    yield k
    k.stop()


def all_end(pids):
    eventually(lambda: not any(alive(p) for p in pids))


class Reader(threading.Thread):
    """Opens and reads the file again and again."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.reads, self.errors, self.slowest = path, 0, [], 0.0
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            begin = time.monotonic()
            try:
                with open(self.path) as f:
                    text = f.read()
                if not text.startswith("pid="):
                    self.errors.append(text)
            except OSError as e:
                self.errors.append(e)
            self.reads += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)

    def stop(self):
        self.over.set()
        self.join(10)
        assert not self.is_alive()
