# SPDX-License-Identifier: Apache-2.0
"""A server of the tests as a child process: its own directory, a log, an environment that says nothing,
ports that are free. It is ended by its pid; whoever it was started by ends first, and it with it."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Missing(Exception):
    """The backend cannot be had here; why."""


def log(text):
    """For the log of whoever runs the tests."""
    print(f"backends: {text}", flush=True)


def wait_for(condition, seconds, what, pause=0.02):
    """Poll until condition() is true; its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(pause)


_given = set()
_lane, _lanes = (int(n) for n in os.environ.get("HUSHFS_LANE", "1/1").split("/"))


def _ours(port):
    """Of those who run at once each has ports of its own."""
    return port // 64 % _lanes == _lane - 1


def free_ports(count=1):
    """The first of so many loopback ports in a row that nobody listens at; none is given twice."""
    for _ in range(200):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            first = probe.getsockname()[1]
        wanted = range(first, first + count)
        if first + count > 65535 or _given & set(wanted) or not all(map(_ours, wanted)):
            continue
        try:
            for port in wanted:
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        _given.update(wanted)
        return first
    raise Missing(f"{count} free ports in a row on 127.0.0.1")


def scratch(name):
    """A directory of this process's user alone, on a file system that is not shown by any mount."""
    return pathlib.Path(os.path.realpath(tempfile.mkdtemp(prefix=f"hushfs-{name}-")))


class Server:
    """name: of the log; base: a directory that exists."""

    stop_signal, stop_seconds = signal.SIGTERM, 15

    def __init__(self, base, name):
        self.base, self.name, self.process = pathlib.Path(base), name, None
        self.log_path = self.base / f"{name}.log"

    def spawn(self, *command, user=None, group=None):
        """The caller's environment would change what servers do, and some of them log it."""
        environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "HOME": str(self.base), "TMPDIR": str(self.base), "LC_ALL": "C.UTF-8"}  # fmt: skip
        with open(self.log_path, "ab") as out:
            self.process = subprocess.Popen(
                [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ,
                cwd=self.base, user=user, group=group, extra_groups=[] if user else None, start_new_session=True,
                preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )  # fmt: skip

    def running(self):
        return self.process is not None and self.process.poll() is None

    def log_tail(self, size=4000):
        try:
            return self.log_path.read_text(errors="replace")[-size:]
        except FileNotFoundError:
            return ""

    def wait_until(self, condition, seconds, what):
        """condition()'s value, while the process lives; what it said if it does not come true."""
        try:
            value = wait_for(lambda: condition() or not self.running(), seconds, what)
        except TimeoutError as error:
            raise Missing(f"{self.name}: {error}\n{self.log_tail()}") from error
        if not self.running():
            raise Missing(f"{self.name} ended with {self.process.returncode}\n{self.log_tail()}")
        return value

    def hang(self):
        """It takes connections (the kernel does) and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if not self.running():
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout=self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def remove(self):
        """Its directory; the log is kept where HUSHFS_TEST_LOGS says."""
        logs = os.environ.get("HUSHFS_TEST_LOGS")
        if logs and self.log_path.exists():
            os.makedirs(logs, exist_ok=True)
            with open(f"{logs}/{self.name}.log", "ab") as out:
                out.write(self.log_path.read_bytes())
        shutil.rmtree(self.base, ignore_errors=True)

    def start(self):
        raise NotImplementedError

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind, *rest):
        if kind is not None:
            print(f"-- {self.name}:\n{self.log_tail()}", flush=True)
        self.stop()
