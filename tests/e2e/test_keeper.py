# SPDX-License-Identifier: Apache-2.0
"""The keeper: the mount, from its beginning to its end."""

import errno
import os
import signal
import subprocess
import time

import pytest

from keeper_probe import alive, all_end, base, eventually  # noqa: F401
from keeper_probe import Keeper, keeper, mounts, name_of, needs  # noqa: F401 (two are fixtures)

pytestmark = needs


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
        # ECONNABORTED: it was under way while the connection ended.
        assert e.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
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


# -- The end ----------------------------------------------------------------------------------------


def test_umount_ends_all(keeper):
    keeper.start()
    pids = keeper.all()
    subprocess.run(["umount", keeper.mnt], check=True)
    assert keeper.proc.wait(5) == 0
    all_end(pids)
    assert not mounts(keeper.mnt)


def test_umount_ends_all_also_if_the_worker_fails(keeper):
    keeper.start(config="crash-at-end")
    pids = keeper.all()
    subprocess.run(["umount", keeper.mnt], check=True)
    assert keeper.proc.wait(5) == 0
    all_end(pids)


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


def test_keeper_killed_and_started_at_once(keeper):
    """The dying children of the old one must not be taken for a live mount."""
    for _ in range(5):
        keeper.start()
        assert keeper.first == "R"
        keeper.proc.kill()
        keeper.proc.wait(5)
    keeper.start()
    assert keeper.first == "R"
    assert len(mounts(keeper.mnt)) == 1
    assert keeper.who()["generation"] == "1"


def test_signal_ends_a_mover_that_waits(keeper):
    keeper.start(config="stall")
    keeper.stall()
    pids = keeper.all()
    keeper.proc.send_signal(signal.SIGTERM)
    assert keeper.proc.wait(5) == 0
    all_end(pids)
    assert not mounts(keeper.mnt)


def test_keeper_killed_while_the_mover_waits(keeper):
    """That mover keeps the connection up, unkillable: the mount hangs, but it is dead."""
    keeper.start(config="stall")
    mover = keeper.stall()
    pids = keeper.all()
    for pid in (keeper.proc.pid, keeper.worker()):
        os.kill(pid, signal.SIGKILL)
    keeper.proc.wait(5)
    time.sleep(0.3)
    assert alive(mover)
    keeper.start()
    assert keeper.first == "R"
    all_end(pids)
    assert len(mounts(keeper.mnt)) == 1
    assert keeper.who()["generation"] == "1"


def test_end_below_another_mount(keeper):
    """What somebody mounted over ours is not ours to take away."""
    keeper.start()
    subprocess.run(["mount", "-t", "tmpfs", "over", keeper.mnt], check=True)
    keeper.proc.send_signal(signal.SIGTERM)
    assert keeper.proc.wait(5) == 0
    assert " - tmpfs over " in mounts(keeper.mnt)[-1]
    assert "mounted over it" in keeper.log_text()
