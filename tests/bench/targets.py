# SPDX-License-Identifier: Apache-2.0
"""What is measured: places that serve the same bytes. Each is started below one temporary directory,
says where client.c finds a file of so many bytes or a directory of so many names, and which processes
serve it."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
SIZES, COUNTS = (32, 4096, 16384), (10, 100, 1000)
USER = "daemon"


class Missing(Exception):
    """What it needs is not there."""


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.005)


def compile_tool(name, out):
    """A C program of this directory, without sanitizers and as fast as it gets."""
    sources = [HERE / f"{name}.c", HERE.parent / "tools" / "tool.c"]
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-O2", "-pthread"]
    libraries = []
    if name == "client":
        sources.append(HERE / "wire.c")
    if name == "floor":
        text = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], check=True,
                              capture_output=True, text=True).stdout  # fmt: skip
        libraries = text.split()
    program = out / name
    subprocess.run(["cc", *flags, "-o", program, *sources, *libraries], check=True, timeout=60)
    return program


def fill(directory):
    """The files that every place shows; names as in floor.c."""
    directory.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        (directory / f"f{size}").write_bytes(b"x" * size)
    for count in COUNTS:
        (directory / f"d{count}").mkdir()
        for i in range(count):
            (directory / f"d{count}" / f"e{i:04}").write_bytes(b"x" * 32)


def threads_of(pid):
    try:
        return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]
    except FileNotFoundError:
        return []


def descriptors(pid):
    """What a process has open."""
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def hurry(pid):
    """Well ahead of what else the machine does: a process's threads, and its session where that is a group."""
    for tid in threads_of(pid):
        os.setpriority(os.PRIO_PROCESS, tid, -19)
    try:
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("-19")
    except OSError:
        pass  # a kernel without


class Target:
    """name: as in the results; label: as in the report; files: it is a file system."""

    name = label = ""
    files = True

    def __init__(self, base, tools):
        self.base, self.tools, self.path = base / self.name, tools, base / self.name
        self.process = None

    def start(self):
        raise NotImplementedError

    def where(self, name):
        """client.c's WHERE of f4096, d1000, …"""
        return self.path / "s" / name

    def pids(self):
        return [self.process.pid] if self.process else []

    def place(self, cpus):
        """Keep the processes that serve it on these CPUs."""
        for pid in self.pids():
            hurry(pid)
            for tid in threads_of(pid):
                os.sched_setaffinity(tid, cpus)

    def spawn(self, *command):
        """Each in a session of its own, as daemons are: the scheduler makes a group of one, which costs."""
        log = open(self.base.with_suffix(".log"), "ab")
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        log.close()

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if os.path.ismount(self.path):
            subprocess.run(["umount", "-l", self.path], check=False)


class Tmpfs(Target):
    name, label = "tmpfs", "tmpfs"

    def start(self):
        self.path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "hushfs-bench", self.path], check=True)
        fill(self.path / "s")


class Disk(Target):
    """A directory on the machine's disk: whatever file system the temporary directory is on."""

    name, label = "disk", "disk"

    def start(self):
        fill(self.path / "s")
        found = subprocess.run(["stat", "-f", "-c", "%T", self.path], check=True, capture_output=True, text=True)
        kind = found.stdout.strip()
        self.label = {"ext2/ext3": "ext4"}.get(kind, kind)


class Floor(Target):
    name, label = "floor", "floor (libfuse server that only replies)"

    def start(self):
        self.path.mkdir()
        self.spawn(self.tools["floor"], self.path)
        wait_for(lambda: os.path.ismount(self.path), 5, "the floor")


class Hushfs(Target):
    """A mount of a directory (instance s) and of the environment (instance e)."""

    name, label, mode = "hushfs", "hushfs, open = checked", "checked"
    programs = None  # set by run
    source = None

    def start(self):
        if not (self.programs / "hushfs").exists():
            raise Missing(f"no hushfs in {self.programs}: build it first (cmake --preset release, …)")
        self.path.mkdir()
        self.config, self.log = self.base.with_suffix(".conf"), self.base.with_suffix(".log")
        self.config.write_text(
            f"[mount]\npath = {self.path}\nuser = {USER}\nopen = {self.mode}\n\n{self.sections()}"
        )
        self.config.chmod(0o600)
        self.mount()

    def sections(self):
        return (f"[provider/s]\ntype = file\nroot = {self.source}\nttl = 3600\n\n"
                "[provider/e]\ntype = env\nprefix = HUSHFS_BENCH_\nttl = 3600\n")  # fmt: skip

    def mount(self):
        environment = {**os.environ, "HUSHFS_BENCH_WORD": "x" * 32}
        subprocess.run([self.programs / "hushfs", "mount", "-c", self.config, "--log", self.log],
                       check=True, env=environment, stdin=subprocess.DEVNULL, timeout=30)  # fmt: skip

    def pids(self):
        return list(self.processes().values())

    def processes(self):
        """{"keeper": pid, …}, from the process table: asks nothing of the mount."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if str(self.log) in descriptors(pid):
                name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                found[name.removeprefix("hushfs-")] = int(pid)
        return found

    def stop(self):
        if os.path.ismount(self.path):
            subprocess.run([self.programs / "hushfs", "umount", self.path], check=False, timeout=30)
        super().stop()


class HushfsKernel(Hushfs):
    name, label, mode = "hushfs-kernel", "hushfs, open = kernel", "kernel"


class HushfsOther(Hushfs):
    """Another build, to see within one run what a change is worth."""

    name, label = "hushfs-other", "hushfs, the other build"
    programs = None


class Idle(Hushfs):
    """For what a mount takes when nothing is asked of it."""

    name, label = "hushfs-idle", "hushfs"


NGINX = """\
daemon off;
master_process off;
worker_processes 1;
pid {base}/pid;
error_log {base}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    open_file_cache max=100 inactive=1h;
    open_file_cache_valid 1h;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    client_body_temp_path {base}/t1;
    proxy_temp_path {base}/t2;
    fastcgi_temp_path {base}/t3;
    uwsgi_temp_path {base}/t4;
    scgi_temp_path {base}/t5;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {root}; }}
}}
"""


class Nginx(Target):
    """A static file over loopback: what an agent with an HTTP interface takes at the very least."""

    name, label, files, scheme = "http", "HTTP, connection kept (nginx)", False, "http"

    def start(self):
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise Missing("no nginx")
        self.base.mkdir()
        fill(self.base / "root" / "s")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = self.base / "nginx.conf"
        config.write_text(NGINX.format(base=self.base, port=self.port, root=self.base / "root"))
        self.spawn(program, "-c", config, "-p", self.base, "-e", self.base / "error.log")
        wait_for(self.answers, 5, "nginx")

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def where(self, name):
        return f"{self.scheme}:{self.port}:/s/{name}"


class NginxNew(Nginx):
    """A server of its own: the connections that a new one leaves behind do not weigh on the other."""

    name, label, scheme = "http-new", "HTTP, a connection each (nginx)", "http-new"


class Unix(Target):
    name, label, files = "unix", "Unix socket, connection kept", False

    def start(self):
        self.base.mkdir()
        self.sockets = {size: self.base / f"f{size}" for size in SIZES}
        self.servers = []
        for size, path in self.sockets.items():
            self.spawn(self.tools["unixd"], path, size)
            self.servers.append(self.process)
            wait_for(path.exists, 5, "unixd")

    def pids(self):
        return [server.pid for server in self.servers]

    def where(self, name):
        return f"unix:{self.base / name}"

    def stop(self):
        for self.process in getattr(self, "servers", []):
            super().stop()


ALL = {t.name: t for t in (Tmpfs, Disk, HushfsKernel, Floor, Hushfs, HushfsOther, Unix, Nginx, NginxNew)}
