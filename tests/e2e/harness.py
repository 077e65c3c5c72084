# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: mounts with their sources, other users, processes, events.

The programs come from the directories HUSHFS_BIN and HUSHFS_TEST_BIN (the same, with the provider type
`test`). Other knobs: HUSHFS_REQUIRE_ALL=1 turns skips into failures, HUSHFS_QUICK=1 shortens the long
runs, HUSHFS_SLACK=N multiplies limits of time (sanitizers, slow machines), HUSHFS_LANE=K/N runs the K-th of
N parts, for N at once.
"""

import ctypes
import json
import os
import pathlib
import pickle
import random
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
import traceback
import zlib

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
BUILD = TESTS.parent / "build" / "dev"
BIN = pathlib.Path(os.environ.get("HUSHFS_BIN", BUILD / "bin")).resolve()
TEST_BIN = pathlib.Path(os.environ.get("HUSHFS_TEST_BIN", BUILD / "test-bin")).resolve()
REQUIRE_ALL = os.environ.get("HUSHFS_REQUIRE_ALL", "") not in ("", "0")
QUICK = os.environ.get("HUSHFS_QUICK", "") not in ("", "0")
SLACK = float(os.environ.get("HUSHFS_SLACK", "1"))

DAEMON, NOBODY, WWW, ADM = 1, 65534, 33, 4  # of Debian's base-passwd
WORKER_USER = "daemon"

libc = ctypes.CDLL(None, use_errno=True)
MNT_FORCE, MNT_DETACH, UMOUNT_NOFOLLOW = 1, 2, 8


def missing(what):
    """Skip, or fail where everything is required."""
    (pytest.fail if REQUIRE_ALL else pytest.skip)(f"needs {what}")


def require(*tools):
    """The path of each program."""
    found = [shutil.which(t, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for t in tools]
    for tool, path in zip(tools, found):
        if not path:
            missing(tool)
    return found[0] if len(found) == 1 else found


def wait_for(condition, seconds, what="the condition"):
    """Poll until condition() is true; its value. Fails after the time."""
    end = time.monotonic() + seconds * SLACK
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def lanes(groups, count):
    """The groups ({name: seconds}) in `count` sets of about the same length."""
    found, total = [set() for _ in range(count)], [0] * count
    for name, seconds in sorted(groups.items(), key=lambda group: (-group[1], group[0])):
        shortest = total.index(min(total))
        found[shortest].add(name)
        total[shortest] += seconds
    return found


# -- Self-describing content (tests/tools/tool.h) ---------------------------------------------------


def content(version, size=None):
    """One version of a secret, `size` bytes in all (32 or more; random if None, up to 64 KiB)."""
    rnd = random.Random(version)
    size = rnd.randint(33, 65536) if size is None else size
    word = b"%010d" % version
    body = (b"%x." % rnd.getrandbits(512)) * (size // 100 + 1)
    body = body[: max(0, size - 32)]
    return b"HUSH %s %06d %08x\n" % (word, len(body), zlib.crc32(word + body)) + body


def version_of(data):
    """Which version the bytes are; fails unless they are one whole version."""
    match = re.match(rb"HUSH (\d{10}) (\d{6}) ([0-9a-f]{8})\n", data)
    assert match, f"no header in {data[:40]!r} ({len(data)} bytes)"
    body = data[32:]
    assert len(body) == int(match[2]), "torn: another length than the header says"
    assert zlib.crc32(match[1] + body) == int(match[3], 16), "torn: wrong checksum"
    return int(match[1])


def atomic_write(path, data, mode=0o644):
    """Replace path as a careful writer does; the new name appears nowhere else below the source."""
    path = pathlib.Path(path)
    fd, name = tempfile.mkstemp(prefix="stage-", dir=stage_of(path))
    with os.fdopen(fd, "wb") as out:
        out.write(data)
        os.fchmod(fd, mode)
    os.rename(name, path)


def stage_of(path):
    """A directory on the file system of path, outside of what a mount shows: BASE/stage."""
    for parent in path.parents:
        if (parent / "stage").is_dir():
            return parent / "stage"
    return path.parent


class Rotator(threading.Thread):
    """Writes versions FIRST, FIRST+1, … of one or more sources, so many times a second, until stopped."""

    def __init__(self, write, first=2, per_second=10, size=None):
        super().__init__(daemon=True)
        self.write, self.version, self.pause, self.size = write, first - 1, 1 / per_second, size
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            due = time.monotonic()
            while not self.stopping.is_set():
                self.write(content(self.version + 1, self.size))
                self.version += 1
                due += self.pause
                self.stopping.wait(max(0, due - time.monotonic()))
        except Exception as failure:
            self.failure = failure

    def stop(self):
        """The last version written."""
        self.stopping.set()
        self.join()
        if self.failure:
            raise self.failure
        return self.version

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.join()


# -- Other users --------------------------------------------------------------------------------------


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def drop_capabilities():
    """All of this process's, for ever (uid 0 keeps its uid)."""
    data = (ctypes.c_uint32 * 6)()
    if libc.capset(ctypes.byref(_Header(0x20080522, 0)), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def run_as(uid, gid, groups, function, capabilities=True):
    """What function() returns (or raises) in a child process with these ids; groups: supplementary."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read_end)
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            if not capabilities:
                drop_capabilities()
            try:
                answer = (True, function())
            except OSError as error:  # its other attributes need not survive pickling
                answer = (False, OSError(error.errno, error.strerror, error.filename))
            except BaseException as error:
                answer = (False, AssertionError(f"{error!r}\n{traceback.format_exc()}"))
            with os.fdopen(write_end, "wb") as out:
                pickle.dump(answer, out)
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as source:
        answer = source.read()
    _, status = os.waitpid(pid, 0)
    assert answer, f"the child of run_as ended with status {status}"
    good, value = pickle.loads(answer)
    if good:
        return value
    raise value


def as_nobody(function):
    return run_as(NOBODY, NOBODY, [], function)


def outcome(function):
    """"ok", or the name of the errno that function() fails with."""
    try:
        function()
        return "ok"
    except OSError as error:
        return error_name(error)


def error_name(error):
    import errno

    return errno.errorcode.get(error.errno, str(error.errno))


def read(path, dir_fd=None):
    """The bytes of a file by open, read to the end, close."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


# -- Tools ----------------------------------------------------------------------------------------------

_cache = None


def cache_dir():
    """Where programs of the tests are compiled to, once per session."""
    global _cache
    if _cache is None:
        _cache = pathlib.Path(tempfile.mkdtemp(prefix="hushfs-e2e-tools-"))
        _cache.chmod(0o755)
    return _cache


def drop_cache():
    if _cache:
        shutil.rmtree(_cache, ignore_errors=True)


def tool(name):
    """A C program of tests/tools."""
    program = cache_dir() / name
    if not program.exists():
        compiler = require("cc")
        sources = [TESTS / "tools" / f"{name}.c", TESTS / "tools" / "tool.c"]
        flags = ["-std=gnu17", "-D_GNU_SOURCE", "-O2", "-pthread"]
        subprocess.run([compiler, *flags, "-o", program, *sources], check=True, timeout=60)
    return str(program)


class Reader:
    """tests/tools/reader in the background; stop() gives its report."""

    def __init__(self, *paths, threads=8, pause_us=1000, fields=(), run_ms=600_000, user=None):
        arguments = [tool("reader"), "-n", threads, "-t", run_ms, "-p", pause_us]
        for field in fields:
            arguments += ["-f", field]
        self.process = subprocess.Popen(
            [str(a) for a in [*arguments, *paths]], stdout=subprocess.PIPE, user=user
        )

    def stop(self, seconds=15):
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds):
        try:
            out, _ = self.process.communicate(timeout=seconds * SLACK)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"a reader hangs: not done after {seconds} s")
        assert self.process.returncode == 0, f"the reader ended with {self.process.returncode}"
        return json.loads(out)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()


def assert_clean(report, newest=None):
    """No failed, torn, mixed or backward read, and some reads at all."""
    assert report["reads"] > 0
    bad = {k: report[k] for k in ("failed", "torn", "mixed", "backwards") if report[k]}
    assert not bad, report
    if newest is not None:
        assert report["newest"] == newest, report


class Hung:
    """tests/tools/hung: many readers at once of one path."""

    def __init__(self, path, threads=1000, create=False, user=None):
        arguments = [tool("hung"), "-n", str(threads), *(["-c"] if create else []), str(path)]
        # Unbuffered: communicate() would not see what readline() read ahead.
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, user=user, bufsize=0)
        assert self.process.stdout.readline() == b"waiting\n"

    def wait(self, seconds):
        try:
            out, _ = self.process.communicate(timeout=seconds * SLACK)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"readers still wait after {seconds} s")
        return json.loads(out)

    def kill(self):
        """SIGKILL; how long it took the process to be gone."""
        begin = time.monotonic()
        self.process.kill()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        return time.monotonic() - begin

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.kill()


def memscan(pid, needle, descriptor=None):
    """Copies of needle in the memory of pid, and behind one of its descriptors."""
    arguments = [tool("memscan"), *(["-f", str(descriptor)] if descriptor is not None else []), str(pid)]
    masked = bytes(b ^ 0x55 for b in needle)
    done = subprocess.run(arguments, input=masked, stdout=subprocess.PIPE, check=True, timeout=120)
    return json.loads(done.stdout)


# -- Events -----------------------------------------------------------------------------------------------


class Inotify:
    """Events as (path watched, set of names of the mask's bits, name)."""

    BITS = {
        0x2: "MODIFY", 0x4: "ATTRIB", 0x8: "CLOSE_WRITE", 0x40: "MOVED_FROM", 0x80: "MOVED_TO",
        0x100: "CREATE", 0x200: "DELETE", 0x400: "DELETE_SELF", 0x800: "MOVE_SELF", 0x8000: "IGNORED",
    }  # fmt: skip

    def __init__(self, *paths):
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self.fd >= 0
        self.watches = {}
        for path in paths:
            self.watch(path)

    def watch(self, path):
        mask = sum(self.BITS) & 0xFFF
        number = libc.inotify_add_watch(self.fd, os.fsencode(str(path)), mask)
        if number < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        self.watches[number] = str(path)

    def events(self, seconds):
        """All that come within the time, as they are in the queue."""
        found, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                found += self._take()
        return found

    def wait(self, wanted, seconds):
        """Events until wanted(events) is true; fails after the time."""
        found, end = [], time.monotonic() + seconds * SLACK
        while not wanted(found):
            left = end - time.monotonic()
            assert left > 0, f"events after {seconds} s: {found}"
            if select.select([self.fd], [], [], left)[0]:
                found += self._take()
        return found

    def _take(self):
        found, data = [], os.read(self.fd, 65536)
        while data:
            number, mask, _, size = struct.unpack_from("iIII", data)
            name = data[16 : 16 + size].rstrip(b"\0")
            bits = {text for bit, text in self.BITS.items() if mask & bit}
            found.append((self.watches[number], bits, os.fsdecode(name)))
            data = data[16 + size :]
        return found

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.fd)


# -- Processes ----------------------------------------------------------------------------------------------


def stat_of_process(pid):
    """(parent, state) or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[1]), fields[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    stat = stat_of_process(pid)
    return stat is not None and stat[1] not in "ZX"


def children(pid):
    """{pid: comm} of the processes whose parent is pid."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := stat_of_process(entry)) and stat[0] == pid:
            try:
                found[int(entry)] = pathlib.Path(f"/proc/{entry}/comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def holders(path):
    """{pid: comm} of the processes that have path open."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            links = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")]
            if entry.isdigit() and str(path) in links:
                found[int(entry)] = pathlib.Path(f"/proc/{entry}/comm").read_text().strip()
        except OSError:
            continue
    return found


def threads_in_state(pid, state):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            stat = stat_of_process(f"{pid}/task/{thread}")
            if stat and stat[1] == state:
                found.append(int(thread))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def mounts_below(path):
    """Mount points at or below path."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            point = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split()[4])
            if point == str(path) or point.startswith(f"{path}/"):
                found.append(point)
    return found


def mount_options(path):
    """The per-mount options of the mount at path, as mountinfo shows them."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            fields = line.split()
            if fields[4] == str(path):
                return fields[5].split(",")
    raise AssertionError(f"{path} is no mount point")


def force_umount(path):
    """Abort and detach without asking the file system anything."""
    libc.umount2(os.fsencode(str(path)), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)
    libc.umount2(os.fsencode(str(path)), MNT_DETACH | UMOUNT_NOFOLLOW)


# -- A mount ----------------------------------------------------------------------------------------------

# The level in a log file is a word ("… hushfs-worker[1]: warning: …"), which this finds as such.
BAD_LOG = re.compile(r"^<[0-4]>|\b(error|warning|fatal|assert\w*|\w*Sanitizer|leak\w*)\b", re.IGNORECASE)


class Mount:
    """One mount with a source directory and all that belongs to it below one temporary directory.

    files        {name: bytes} of the source, as with put()
    provider     "file" or "test": the type of the instance `s`, which shows the source
    options      more keys of [provider/s];  mount_options: of [mount]
    sections     {section: {key: value}}: more of the configuration
    programs     a directory of programs; otherwise as the provider needs it
    """

    live = []  # of this session, for the watchdog

    def __init__(self, files=None, provider="file", options=None, mount_options=None, sections=None,
                 programs=None, environ=None):  # fmt: skip
        self.programs = pathlib.Path(programs or (TEST_BIN if provider == "test" else BIN))
        if not (self.programs / "hushfs").exists():
            missing(f"the programs in {self.programs}")
        if os.geteuid() != 0:
            missing("root")
        self.base = pathlib.Path(os.path.realpath(tempfile.mkdtemp(prefix="hushfs-e2e-")))
        self.base.chmod(0o755)
        self.path, self.source = self.base / "mnt", self.base / "source"
        self.config, self.log = self.base / "hushfs.conf", self.base / "log"
        for name in ("mnt", "source", "stage", "cwd"):
            (self.base / name).mkdir()
        os.chown(self.source, DAEMON, DAEMON)  # the test provider writes .calls there
        (self.base / "cwd").chmod(0o777)
        self.provider, self.environ = provider, environ or {}
        where = {"file": "root", "test": "dir"}[provider]
        self.sections = {
            "mount": {"path": self.path, "user": WORKER_USER, **(mount_options or {})},
            "provider/s": {"type": provider, where: self.source, **(options or {})},
            **(sections or {}),
        }
        self.expected, self.seen_pids = [], set()
        for name, data in (files or {}).items():
            self.put(name, data)
        self.write_config()

    # the source

    def put(self, name, data=b""):
        """Write one file of the source, atomically."""
        path = pathlib.Path(os.fsdecode(os.path.join(os.fsencode(self.source), os.fsencode(name))))
        for parent in reversed(path.relative_to(self.source).parents[:-1]):
            directory = self.source / parent
            if not directory.is_dir():
                directory.mkdir(mode=0o755)
        atomic_write(path, data)

    def remove(self, name):
        os.unlink(self.source / name)

    def set(self, control, data=b""):
        """Make a control file of the test provider ("db.hang", ".list.error"); data may be text."""
        self.put(control, data.encode() if isinstance(data, str) else data)

    def unset(self, *controls):
        for control in controls:
            (self.source / control).unlink(missing_ok=True)

    def calls(self, kind=None, name=None):
        """What the test provider was asked: ["fetch db", "list "], or only those of a kind and name."""
        try:
            lines = (self.source / ".calls").read_text().splitlines()
        except FileNotFoundError:
            lines = []
        if kind is None:
            return lines
        return [l for l in lines if l.split(" ")[0] == kind and name in (None, l.partition(" ")[2])]

    # the mount

    def __truediv__(self, name):
        """mount / "db": a path of the instance `s`."""
        return self.path / "s" / name

    def write_config(self, text=None):
        if text is None:
            text = "".join(
                f"[{section}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) + "\n"
                for section, keys in self.sections.items()
            )
        self.config.write_text(text)
        self.config.chmod(0o600)

    def command(self, *arguments, check=True, seconds=30, **more):
        """Run hushfs; a CompletedProcess with text."""
        return subprocess.run(
            [self.programs / "hushfs", *map(str, arguments)], check=check, timeout=seconds * SLACK,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="surrogateescape", **more,
        )  # fmt: skip

    def start(self, core=False):
        def limits():
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

        with open(self.base / "said", "w+b") as said:  # a pipe would be held open by the keeper
            done = subprocess.run(
                [self.programs / "hushfs", "mount", "-c", self.config, "--log", self.log],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=30 * SLACK,
                cwd=self.base / "cwd", env={**os.environ, **self.environ},
                preexec_fn=limits if core else None,
            )  # fmt: skip
        Mount.live.append(self)
        text = (self.base / "said").read_text(errors="replace")
        assert done.returncode == 0, f"hushfs mount: status {done.returncode}\n{text}\n{self.log_text()}"
        assert str(self.path) in mounts_below(self.path), "hushfs mount returned without a mount"
        self.pids()
        return self

    def status(self):
        text = read(self.path / ".hushfs" / "status.json")
        try:
            return json.loads(text)
        except ValueError as error:
            raise AssertionError(f"status.json: {error}\n{text.decode(errors='replace')}") from error

    def secret(self, name):
        """What status.json says of one secret (name below the instance); None: nothing."""
        rows = [s for s in self.status()["secrets"] if s["path"] == f"s/{name}"]
        assert len(rows) < 2, f"status.json has {name} twice"
        return rows[0] if rows else None

    def keeper(self):
        if not hasattr(self, "_keeper"):
            self._keeper = self.status()["keeper_pid"]
        return self._keeper

    def pids(self):
        """{"keeper", "worker", "mover"} from the process table: asks nothing of the mount."""
        found = {"keeper": self.keeper()}
        for pid, name in children(self.keeper()).items():
            # A child that has not exec'd yet is called as its parent.
            if name.startswith("hushfs-") and name != "hushfs-keeper" and alive(pid):
                found[name[len("hushfs-") :]] = pid
        self.seen_pids.update(found.values())
        return found

    def processes(self):
        """What lives of this mount: those once seen, and whoever holds its log open (all of ours do)."""
        return {pid: name for pid, name in holders(self.log).items() if name.startswith("hushfs")} | {
            pid: "hushfs" for pid in self.seen_pids if alive(pid)
        }

    def kill(self, who, number=signal.SIGKILL):
        pid = wait_for(lambda: self.pids().get(who), 5, f"a {who}")
        os.kill(pid, number)
        return pid

    def reload(self, check=True):
        return self.command("reload", self.path, check=check)

    def refresh(self, *names, check=True):
        return self.command("refresh", *[self / n for n in names], check=check)

    def xattr(self, name):
        """The xattrs user.hushfs.* of a path of the instance, without the prefix."""
        prefix = "user.hushfs."
        path = self / name
        return {
            a[len(prefix) :]: os.getxattr(path, a).decode()
            for a in os.listxattr(path)
            if a.startswith(prefix)
        }

    def expect_log(self, pattern):
        """Lines with this pattern may be in the log."""
        self.expected.append(re.compile(pattern))

    def log_text(self):
        try:
            return self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def umount(self, lazy=False):
        self.pids()
        return self.command("umount", *(["-l"] if lazy else []), self.path)

    def close(self):
        """Unmount and check what must hold for every mount; the list of what does not."""
        wrong = []
        if mounts_below(self.path):
            try:
                self.umount()
            except (subprocess.SubprocessError, AssertionError, OSError) as error:
                wrong.append(f"hushfs umount: {error} {getattr(error, 'stderr', '')}")
        try:
            wait_for(lambda: not self.processes(), 5)
        except AssertionError:
            wrong.append(f"processes left behind: {self.processes()}")
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
        if mounts_below(self.base):
            wrong.append(f"mounts left behind: {mounts_below(self.base)}")
            for point in mounts_below(self.base):
                force_umount(point)
        wrong += [f"log: {line}" for line in self.bad_log_lines()]
        if self in Mount.live:
            Mount.live.remove(self)
        shutil.rmtree(self.base, ignore_errors=True)
        return wrong

    def bad_log_lines(self):
        return [
            line
            for line in self.log_text().splitlines()
            if BAD_LOG.search(line) and not any(e.search(line) for e in self.expected)
        ]


class Mounts:
    """Makes mounts, and closes them all at the end: what is wrong then fails the test."""

    def __init__(self):
        self.all = []

    def __call__(self, *args, start=True, core=False, kind=Mount, **more):
        mount = kind(*args, **more)
        self.all.append(mount)
        return mount.start(core) if start else mount

    def close(self):
        wrong = [text for mount in self.all for text in mount.close()]
        assert not wrong, "\n".join(wrong)
