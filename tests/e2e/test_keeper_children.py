# SPDX-License-Identifier: Apache-2.0
"""The keeper's children: what they may, how they die and come back, the mover, reloads."""

import ctypes
import errno
import fcntl
import os
import pwd
import signal
import stat
import struct
import time

import pytest

from keeper_probe import USER, Reader, all_end, base, children, eventually  # noqa: F401
from keeper_probe import keeper, mounts, needs, status_of  # noqa: F401 (two are fixtures)

pytestmark = needs

libc = ctypes.CDLL(None, use_errno=True)


# -- Processes --------------------------------------------------------------------------------------


def test_children_have_no_power(keeper):
    keeper.start()
    for pid in (keeper.worker(), keeper.mover()):
        # It says so itself, as its first act: until then it is what the keeper was.
        eventually(lambda pid=pid: os.stat(f"/proc/{pid}/environ").st_uid == 0)
        eventually(lambda pid=pid: status_of(pid)["Uid"].split()[0] == str(USER.pw_uid))
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


def test_workers_cannot_change_what_the_next_one_reads(keeper):
    keeper.start()
    write, f_get_seals = 8, 1034
    for config in ("one", "two"):
        if config != "one":
            reload(keeper, config)
            eventually(lambda: keeper.who()["config"] == config)
        with open(f"/proc/{keeper.worker()}/fd/8", "rb") as f:
            assert f.read() == config.encode() + b"\n"
            assert fcntl.fcntl(f, f_get_seals) & write
    with open(f"/proc/{keeper.worker()}/fd/4", "rb") as f:
        assert fcntl.fcntl(f, f_get_seals) & 2  # nor cut the state, on which the keeper would die


def test_keeper_keeps_little(keeper):
    keeper.start()
    status = status_of(keeper.proc.pid)
    want = sum(1 << cap for cap in (2, 5, 6, 7, 8, 21, 24))
    want &= int(status_of("self")["CapPrm"], 16)  # containers lack some
    for caps in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[caps], 16) == want, caps
    assert os.stat(f"/proc/{keeper.proc.pid}/environ").st_uid == 0
    with open(f"/proc/{keeper.proc.pid}/maps") as f:
        maps = f.read()
    for library in ("curl", "ssl", "crypto", "jansson", "fuse"):
        assert f"lib{library}" not in maps
    if "asan" not in maps and "tsan" not in maps:
        assert int(status["VmRSS"].split()[0]) <= 2048


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


@pytest.mark.waits(11)
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
    assert keeper.who()["took_over"] == "0"  # it serves: the keeper gives up on workers that never did
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


def test_worker_killed_during_its_rename(keeper):
    """The mover waits in rename(2) with the directory locked; the next worker frees both."""
    keeper.start(config="stall")
    mover = keeper.stall()
    os.kill(keeper.worker(), signal.SIGKILL)
    begin = time.monotonic()
    eventually(lambda: keeper.who()["answers"].split(",")[0] == "0")
    os.stat(keeper.mnt / "pid")
    assert time.monotonic() - begin < 2
    assert keeper.mover() == mover
    assert keeper.who()["generation"] == "2"


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
