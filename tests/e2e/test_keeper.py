# SPDX-License-Identifier: Apache-2.0
"""The keeper and the mover, with a probe in place of the worker (tests/tools/probe_worker.c).

Needs root and /dev/fuse; HUSHFS_BIN names the directory of the programs.
"""

import ctypes
import errno
import os
import pwd
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time

import pytest

BIN = os.environ.get("HUSHFS_BIN", "")
PROGRAMS = ("hushfs-keeper", "hushfs-mover", "probe_worker")
USER = pwd.getpwnam("nobody")

pytestmark = [
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

libc = ctypes.CDLL(None, use_errno=True)


def eventually(what, seconds=5.0):
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


# -- Mounting ---------------------------------------------------------------------------------------


def test_mount_appears(keeper):
    keeper.start()
    assert keeper.first == "R"
    line = mounts(keeper.mnt)[0]
    assert " - fuse.hushfs hushfs " in line
    options, super_options = line.split()[5].split(","), line.split()[-1].split(",")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options)
    assert {"allow_other", "default_permissions", "user_id=0", "max_read=131072"} <= set(super_options)
    who = keeper.who()
    assert who["pid"] == str(keeper.worker())
    assert who["generation"] == "1" and who["config"] == "one"
    as_other = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "cat", keeper.mnt / "pid"],
                              capture_output=True, text=True)
    assert as_other.returncode == 0 and "pid=" in as_other.stdout


def test_no_allow_other(keeper):
    keeper.start("--no-allow-other")
    assert "allow_other" not in mounts(keeper.mnt)[0].split()[-1].split(",")
    as_other = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "cat", keeper.mnt / "pid"],
                              capture_output=True, text=True)
    assert as_other.returncode != 0
    assert keeper.who()["pid"] == str(keeper.worker())


def test_read_only_for_root(keeper):
    keeper.start()
    mnt = keeper.mnt
    attempts = [
        lambda: os.open(mnt / "new", os.O_CREAT | os.O_WRONLY, 0o600),
        lambda: os.rename(mnt / "pid", mnt / "other"),
        lambda: os.chmod(mnt / "pid", 0o777),
        lambda: os.unlink(mnt / "pid"),
        lambda: os.mkdir(mnt / "dir"),
        lambda: os.open(mnt / "pid", os.O_WRONLY),
    ]
    for attempt in attempts:
        with pytest.raises(OSError) as e:
            attempt()
        assert e.value.errno == errno.EROFS


def test_copies_in_other_namespaces_are_read_only(keeper):
    """A mount that propagates into a namespace that is there already is read-only there, too."""
    base = keeper.base
    subprocess.run(["mount", "--bind", base, base], check=True)
    subprocess.run(["mount", "--make-shared", base], check=True)
    other = subprocess.Popen(["unshare", "-m", "--propagation", "slave", "sleep", "60"], cwd="/")
    try:
        eventually(lambda: name_of(other.pid) == "sleep")
        keeper.start()
        seen = mounts(keeper.mnt, other.pid)
        assert len(seen) == 1 and " - fuse.hushfs " in seen[0]
        assert "ro" in seen[0].split()[5].split(",")
    finally:
        other.kill()
        other.wait()
        keeper.stop()
        subprocess.run(["umount", base], check=True)


@pytest.mark.parametrize("what", ["symlink", "below a symlink", "file", "missing", "unknown user", "root"])
def test_refused(keeper, what):
    path, text, status = keeper.base / "point", "", 1
    user = "nobody"
    if what == "symlink":
        path.symlink_to(keeper.mnt)
        text = "symbolic link"
    elif what == "below a symlink":
        (keeper.base / "link").symlink_to(keeper.base)
        path, text = keeper.base / "link" / "mnt", "symbolic link"
    elif what == "file":
        path.write_text("")
        text = "not a directory"
    elif what == "missing":
        text = "does not exist"
    else:
        path, status, text = keeper.mnt, 3, "does not exist, or is root"
        user = "root" if what == "root" else "no-such-user"
    answer = keeper.fails(mountpoint=path, user=user)
    assert answer.startswith(f"E{status} ") and text in answer
    assert str(path) in answer or status == 3
    assert not mounts(path) and not mounts(keeper.mnt)


def test_missing_below_run_is_not_made(keeper):
    path = f"/run/hushfs-test-{os.getpid()}"
    assert "at each boot" in keeper.fails(mountpoint=path)
    assert not os.path.exists(path)


def test_too_little_memory(keeper):
    answer = keeper.fails("--memory", "1000G")
    assert answer.startswith("E1 ") and "RLIMIT_MEMLOCK" in answer
    assert not mounts(keeper.mnt)


def test_bad_arguments(keeper):
    keeper.bin.joinpath("hushfs-keeper")
    result = subprocess.run([keeper.bin / "hushfs-keeper", "--user", "nobody", keeper.mnt],
                            capture_output=True, text=True)
    assert result.returncode == 2 and "usage:" in result.stderr


def test_mount_over_another_filesystem(keeper):
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", keeper.mnt], check=True)
    keeper.start()
    assert keeper.first == "R" and len(mounts(keeper.mnt)) == 2
    assert keeper.who()["pid"]
    keeper.stop()


def test_already_mounted(keeper):
    keeper.start()
    second = Keeper.__new__(Keeper)
    second.__dict__ = dict(keeper.__dict__, log=keeper.base / "log2")
    answer = second.fails()
    assert "already mounted" in answer
    assert keeper.who()["pid"] == str(keeper.worker())
    assert len(mounts(keeper.mnt)) == 1


def test_already_mounted_and_hanging(keeper):
    """A live mount whose worker answers nothing must neither hang the second keeper nor be detached."""
    keeper.start(config="silent")
    second = Keeper.__new__(Keeper)
    second.__dict__ = dict(keeper.__dict__, log=keeper.base / "log2")
    begin = time.monotonic()
    assert "already mounted" in second.fails()
    assert time.monotonic() - begin < 4
    assert len(mounts(keeper.mnt)) == 1
    assert alive(keeper.proc.pid)


@pytest.mark.parametrize("times", [1, 3])
def test_stale_mount_is_replaced(keeper, times):
    for _ in range(times):
        keeper.start()
        pids = keeper.all()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        keeper.proc.wait(5)
        all_end(pids)
        assert len(mounts(keeper.mnt)) == 1
        with pytest.raises(OSError) as e:
            os.listdir(keeper.mnt)
        assert e.value.errno == errno.ENOTCONN
    keeper.start()
    assert keeper.first == "R"
    assert len(mounts(keeper.mnt)) == 1
    assert keeper.who()["pid"] == str(keeper.worker())


def test_stale_mount_in_a_stack(keeper):
    """Dead mounts that were stacked by another program all go."""
    keeper.start()
    pids = keeper.all()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    keeper.proc.wait(5)
    all_end(pids)
    subprocess.run(["mount", "--bind", keeper.mnt, keeper.mnt], check=False)
    keeper.start()
    assert keeper.first == "R"
    assert len(mounts(keeper.mnt)) == 1


# -- Processes --------------------------------------------------------------------------------------


def test_children_have_no_power(keeper):
    keeper.start()
    for pid in (keeper.worker(), keeper.mover()):
        status = status_of(pid)
        assert status["Uid"].split() == [str(USER.pw_uid)] * 4
        assert status["Gid"].split() == [str(USER.pw_gid)] * 4
        assert status["Groups"].split() == [str(USER.pw_gid)]
        assert status["NoNewPrivs"] == "1"
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[caps], 16) == 0, caps
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0  # not dumpable
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert status["SigBlk"][-16:].strip("0") in ("", "a")  # SIGUSR1 and 2 by the probe itself
        with open(f"/proc/{pid}/environ") as f:
            assert f.read().rstrip("\0").split("\0") == ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"]
        with open(f"/proc/{pid}/limits") as f:
            limits = {line[:26].strip(): line[26:].split()[:2] for line in f}
        assert limits["Max core file size"] == ["0", "0"]
        for limit in ("Max locked memory", "Max open files"):
            assert limits[limit][0] == limits[limit][1]


def test_children_have_no_other_descriptors(keeper):
    keeper.start()

    def fds(pid):
        return sorted(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))

    eventually(lambda: fds(keeper.worker()) == [0, 1, 2, 3, 4, 5, 6, 7, 8])  # 9 is closed by itself
    assert fds(keeper.mover()) == [0, 1, 2, 3, 6, 10]


def test_keeper_keeps_little(keeper):
    keeper.start()
    status = status_of(keeper.proc.pid)
    want = sum(1 << cap for cap in (2, 5, 6, 7, 8, 21, 24))
    want &= int(status_of("self")["CapPrm"], 16)  # containers lack some
    for caps in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[caps], 16) == want, caps
    assert int(status["VmRSS"].split()[0]) <= 2048
    assert os.stat(f"/proc/{keeper.proc.pid}/environ").st_uid == 0
    with open(f"/proc/{keeper.proc.pid}/maps") as f:
        maps = f.read()
    for library in ("curl", "ssl", "crypto", "jansson", "fuse"):
        assert f"lib{library}" not in maps


def test_supplementary_groups(keeper):
    """The groups of the user database count: they may be what lets it read a credential file."""
    users = [u for u in pwd.getpwall() if u.pw_uid != 0 and len(os.getgrouplist(u.pw_name, u.pw_gid)) > 1]
    if not users:
        pytest.skip("no user here is in two groups")
    user = users[0]
    keeper.start(user=user.pw_name)
    groups = {int(g) for g in status_of(keeper.worker())["Groups"].split()}
    assert groups == set(os.getgrouplist(user.pw_name, user.pw_gid))


def test_numeric_user(keeper):
    keeper.start(user="54321")
    assert status_of(keeper.worker())["Uid"].split() == ["54321"] * 4
    assert status_of(keeper.worker())["Groups"].split() == []


def test_background(keeper):
    keeper.start(background=True)
    assert keeper.first == "R"
    assert os.getsid(keeper.proc.pid) == keeper.proc.pid
    for fd in (0, 1):
        assert os.readlink(f"/proc/{keeper.proc.pid}/fd/{fd}") == "/dev/null"
    assert os.readlink(f"/proc/{keeper.worker()}/fd/2") == str(keeper.log)
    assert stat.S_IMODE(keeper.log.stat().st_mode) == 0o640


def test_log_is_no_symlink(keeper):
    (keeper.base / "target").write_text("mine")
    keeper.log.symlink_to(keeper.base / "target")
    keeper.start()
    assert keeper.first.startswith("E1 ") and "log" in keeper.first
    assert (keeper.base / "target").read_text() == "mine"


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


def test_worker_killed_under_load(keeper):
    keeper.start()
    readers = [Reader(keeper.mnt / "pid") for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(20):
        pid = keeper.worker()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: keeper.child("hushfs-worker") not in (None, pid))
        time.sleep(0.05)
    for reader in readers:
        reader.stop()
        assert reader.errors == []
        assert reader.reads > 20
    who = keeper.who()
    assert who["generation"] == "21" and who["took_over"] == "1"


def test_worker_restarts_slow_down(keeper):
    keeper.start()
    begin = time.monotonic()
    for _ in range(5):
        pid = keeper.worker()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: keeper.child("hushfs-worker") not in (None, pid))
    assert time.monotonic() - begin < 1
    begin = time.monotonic()
    for _ in range(7):
        pid = keeper.worker()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: keeper.child("hushfs-worker") not in (None, pid))
    assert 1 < time.monotonic() - begin < 5


def test_worker_that_never_serves(keeper):
    assert keeper.fails(config="refuse").startswith("E3 ")
    assert not mounts(keeper.mnt)
    assert keeper.fails(config="abort").startswith("E1 ")
    assert not mounts(keeper.mnt)
    (keeper.bin / "hushfs-worker").unlink()
    assert keeper.fails().startswith("E1 ")
    assert "cannot start" in keeper.log_text()
    assert not mounts(keeper.mnt)


def test_mover_restarted(keeper):
    keeper.start()
    eventually(lambda: keeper.who()["hellos"] == "1")
    for n in range(2, 5):
        pid = keeper.mover()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: keeper.child("hushfs-mover") not in (None, pid))
        eventually(lambda: keeper.who()["hellos"] == str(n))
    rotate(keeper)


IN_MOVED_TO, IN_DELETE_SELF, IN_ATTRIB = 0x80, 0x400, 0x4


def events(fd):
    found, data = set(), b""
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        pass
    while data:
        wd, mask, _, size = struct.unpack_from("iIII", data)
        found.add((wd, mask, data[16:16 + size].rstrip(b"\0").decode()))
        data = data[16 + size:]
    return found


def rotate(keeper):
    """Have the file replaced through the mover; nothing but a real rename makes these events."""
    path = keeper.mnt / "pid"
    old = os.stat(path).st_ino
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        wd_dir = libc.inotify_add_watch(fd, os.fsencode(keeper.mnt), IN_MOVED_TO)
        wd_file = libc.inotify_add_watch(fd, os.fsencode(path), IN_DELETE_SELF | IN_ATTRIB)
        assert wd_dir > 0 and wd_file > 0
        os.kill(keeper.worker(), signal.SIGUSR1)
        seen = set()
        eventually(lambda: seen.update(events(fd)) or (wd_dir, IN_MOVED_TO, "pid") in seen)
        eventually(lambda: seen.update(events(fd)) or (wd_file, IN_DELETE_SELF, "") in seen)
    finally:
        os.close(fd)
    assert os.stat(path).st_ino != old
    assert keeper.who()["answers"].split(",")[0] == "0"


def test_rename_through_the_mover(keeper):
    keeper.start()
    rotate(keeper)
    rotate(keeper)


def test_mover_commands(keeper):
    keeper.start()
    with open(keeper.mnt / "pid") as f:  # so that the kernel knows the inode
        os.kill(keeper.worker(), signal.SIGUSR2)
        answers = eventually(lambda: (a := keeper.who()["answers"].split(","))[7] != "-1" and a)
        f.read()
    assert answers[1] == "0"  # INVAL_INODE
    assert answers[2] in ("0", str(errno.ENOENT))  # INVAL_ENTRY, if it is cached still
    assert answers[3] == str(errno.ENOENT)  # DELETE of what is not there
    assert answers[4] == str(errno.EXDEV)  # out of the mount
    assert answers[5] == str(errno.EINVAL)  # not a name
    assert answers[6] == str(errno.EINVAL)  # no such command
    assert answers[7] == str(errno.ENOENT)
    assert keeper.who()["hellos"] == "1"


def test_only_the_mover_renames(keeper):
    """The second lock: through a writable clone of the mount, somebody else's rename is refused."""
    keeper.start()
    mover = keeper.mover()
    clone = os.open(f"/proc/{mover}/fd/10/.", os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(OSError) as e:
        os.rename("pid", "other", src_dir_fd=clone, dst_dir_fd=clone)
    os.close(clone)
    assert e.value.errno == errno.EROFS
    assert keeper.mover() == mover


# -- The end ----------------------------------------------------------------------------------------


def test_umount_ends_all(keeper):
    keeper.start()
    pids = keeper.all()
    subprocess.run(["umount", keeper.mnt], check=True)
    assert keeper.proc.wait(5) == 0
    all_end(pids)
    assert not mounts(keeper.mnt)


def test_umount_busy(keeper):
    keeper.start()
    with open(keeper.mnt / "pid") as f:
        assert subprocess.run(["umount", keeper.mnt], capture_output=True).returncode != 0
        assert keeper.who()["pid"] == str(keeper.worker())
        f.read()


def test_lazy_umount_lets_open_files_finish(keeper):
    keeper.start()
    pids = keeper.all()
    with open(keeper.mnt / "pid") as f:
        subprocess.run(["umount", "-l", keeper.mnt], check=True)
        time.sleep(0.3)
        os.kill(keeper.worker(), signal.SIGKILL)
        f.seek(0)
        assert "generation=2" in f.read()
    assert keeper.proc.wait(5) == 0
    all_end(pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_all(keeper, number):
    keeper.start()
    pids = keeper.all()
    keeper.proc.send_signal(number)
    assert keeper.proc.wait(5) == 0
    all_end(pids)
    assert not mounts(keeper.mnt)


def test_signal_ends_stopped_children(keeper):
    keeper.start()
    pids = keeper.all()
    for pid in pids[1:]:
        os.kill(pid, signal.SIGSTOP)
    keeper.proc.send_signal(signal.SIGTERM)
    assert keeper.proc.wait(6) == 0
    all_end(pids)
    assert not mounts(keeper.mnt)


def test_abort_ends_all(keeper):
    keeper.start()
    pids = keeper.all()
    minor = os.minor(os.stat(keeper.mnt).st_dev)
    control = keeper.base / "control"
    control.mkdir()
    subprocess.run(["mount", "-t", "fusectl", "fusectl", control], check=True)
    try:
        (control / str(minor) / "abort").write_text("1")
    finally:
        subprocess.run(["umount", control], check=True)
    assert keeper.proc.wait(5) == 0
    all_end(pids)
    assert not mounts(keeper.mnt)


def test_keeper_killed(keeper):
    keeper.start()
    pids = keeper.all()
    keeper.proc.kill()
    keeper.proc.wait(5)
    all_end(pids)
    keeper.start()
    assert keeper.first == "R" and keeper.who()["generation"] == "1"
    assert len(mounts(keeper.mnt)) == 1


# -- Reload -----------------------------------------------------------------------------------------


def reload(keeper, config):
    keeper.config.write_text(config + "\n")
    keeper.proc.send_signal(signal.SIGHUP)


def test_reload(keeper):
    keeper.start()
    mover = keeper.mover()
    readers = [Reader(keeper.mnt / "pid") for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(2, 5):
        reload(keeper, f"number-{n}")
        eventually(lambda: keeper.who()["config"] == f"number-{n}")
        assert keeper.who()["generation"] == str(n)
        assert keeper.who()["reload"] == f"{n - 1},{n - 1},0,"
    for reader in readers:
        reader.stop()
        assert reader.errors == []
    assert keeper.mover() == mover
    assert "in force" in keeper.log_text()


def test_reload_of_a_bad_configuration(keeper):
    keeper.start()
    before = eventually(lambda: (w := keeper.who())["hellos"] == "1" and w)
    reload(keeper, "bad")
    eventually(lambda: f"{keeper.config}:1: bad word" in keeper.log_text())
    after = keeper.who()
    assert after.pop("reload") == f"1,1,3,{keeper.config}:1: bad word"
    assert before.pop("reload") == "0,0,0,"
    assert after == before


def test_reload_that_the_worker_refuses(keeper):
    """What the check lets pass and a worker cannot start with is taken back."""
    keeper.start()
    reload(keeper, "refuse")
    eventually(lambda: "the worker cannot start with it" in keeper.log_text())
    assert keeper.who()["config"] == "one"
    assert keeper.who()["reload"].startswith("1,1,3,")
    reload(keeper, "two")
    eventually(lambda: keeper.who()["config"] == "two")


def test_hanging_check_blocks_nothing(keeper):
    keeper.start()
    reload(keeper, "hang")
    eventually(lambda: keeper.child("hushfs"))
    pid = keeper.worker()
    os.kill(pid, signal.SIGKILL)
    assert keeper.who()["generation"] == "2"
    pids = children(keeper.proc.pid)
    keeper.proc.send_signal(signal.SIGTERM)
    assert keeper.proc.wait(6) == 0
    all_end(pids)


def test_reload_replaces_a_stopped_worker(keeper):
    keeper.start()
    os.kill(keeper.worker(), signal.SIGSTOP)
    reload(keeper, "two")
    eventually(lambda: keeper.who()["config"] == "two")


def test_worker_that_asks_for_a_reload(keeper):
    """It ends with HUSH_EXIT_RELOAD, the next one has the new configuration."""
    keeper.start()
    keeper.config.write_text("two\n")
    os.kill(keeper.worker(), signal.SIGHUP)
    who = keeper.who()
    assert (who["config"], who["generation"], who["reload"]) == ("two", "2", "1,1,0,")
    keeper.config.write_text("bad\n")
    os.kill(keeper.worker(), signal.SIGHUP)
    who = keeper.who()
    assert (who["config"], who["generation"]) == ("two", "3")
    assert who["reload"] == f"2,2,3,{keeper.config}:1: bad word"


def test_reload_that_takes_long_stops_nobody(keeper):
    keeper.start()
    keeper.config.write_text("hang\n")
    os.kill(keeper.worker(), signal.SIGHUP)
    begin = time.monotonic()
    assert keeper.who()["reload"] == "1,0,0,"
    assert time.monotonic() - begin < 3


def test_reload_without_a_file(keeper):
    keeper.start(reloads=False)
    os.kill(keeper.worker(), signal.SIGHUP)
    assert keeper.who()["reload"] == "1,1,1,the mount was made without --config"
    assert keeper.who()["generation"] == "2"
