# SPDX-License-Identifier: Apache-2.0
"""Every operation ends as it would on a read-only tmpfs with the same files, owners, modes and flags."""

import os
import subprocess

import harness
import operations
import pytest
from harness import DAEMON, NOBODY, run_as

# Differences that are meant: operation -> (ours, why). Anything else fails.
EXPLAINED = {
    "listxattr": (None, "user.hushfs.* says how fresh a file is"),
    "name_to_handle_at": ("ENOTSUP", "no export: a handle would survive a revocation"),
    "ioctl FIBMAP": ("ok", "the kernel answers block 0 for every FUSE file system without a device"),
}
# LOOKUP waits for nobody: where nothing was listed yet, a new name may exist for all that is
# known then. A call that makes one is refused in any case; only the reason is another.
NEVER_LISTED = {
    name: (error, "LOOKUP of a name that is not known says directory, until GETATTR settles it; nothing is made")
    for error, names in {
        "EISDIR": ("open O_CREAT new",),
        "EEXIST": ("open O_CREAT|O_EXCL new", "mkdir", "link", "symlink", "mknod", "mkfifo", "mknod device",
                   "linkat fd", "mkdirat"),
    }.items()
    for name in names
}  # fmt: skip

FILES = {"dir/hello": b"hello, world\n" * 20, "dir/secret": b"for root\n"}


@pytest.fixture(scope="module")
def trees(module_mount, open_mode):
    """(mount, path of the reference, path of the same in the mount)."""
    mount = module_mount(
        files=FILES,
        mount_options={"open": open_mode},
        options={"mode": "0644", "dir_mode": "0755"},
        sections={"path/s/dir/secret": {"mode": "0400"}},
    )
    reference = mount.base / "reference"
    reference.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", reference], check=True)
    try:
        (reference / "s" / "dir").mkdir(parents=True)
        for name, data in FILES.items():
            path = reference / "s" / name
            path.write_bytes(data)
            path.chmod(os.stat(mount / name).st_mode & 0o7777)
        os.chown(reference / "s", *owner(mount / ""))
        os.chown(reference / "s/dir", *owner(mount / "dir"))
        # Directories' modes are ours to choose (test_permissions); here they are made the same.
        for name in ("", "dir"):
            (reference / "s" / name).chmod(os.stat(mount / name).st_mode & 0o7777)
        flags = ",".join(harness.mount_options(mount.path))
        subprocess.run(["mount", "-o", f"remount,bind,{flags}", reference], check=True)
        yield mount, reference / "s", mount.path / "s"
    finally:
        harness.force_umount(reference)


def owner(path):
    stat = os.stat(path)
    return stat.st_uid, stat.st_gid


def test_the_mount_is_read_only_and_inert(trees):
    options = set(harness.mount_options(trees[0].path))
    assert {"ro", "nosuid", "nodev", "noexec"} <= options


def test_owners(trees):
    """Directories belong to the worker's user (the mover renames in them), files to root."""
    assert owner(trees[2]) == (DAEMON, 0)
    assert owner(trees[2] / "dir" / "hello") == (0, 0)


def differences(trees, uid, explained):
    """{operation: text} of what differs without an explanation, uid trying."""
    _, reference, ours = trees
    expected = run_as(uid, uid, [], lambda: operations.run(str(reference)))
    actual = run_as(uid, uid, [], lambda: operations.run(str(ours)))
    assert len(expected) > 150 and expected.keys() == actual.keys()
    return {
        name: f"tmpfs {expected[name]}, ours {actual[name]}"
        for name in expected
        if expected[name] != actual[name]
        and (name not in explained or explained[name][0] not in (None, actual[name]))
    }


def lines(found):
    return "\n".join(f"{name}: {text}" for name, text in found.items())


# In this order: the first meets the directory as it was never listed.
@pytest.mark.parametrize("uid", [0, NOBODY])
def test_same_outcome_as_tmpfs(trees, uid):
    found = differences(trees, uid, EXPLAINED | NEVER_LISTED)
    assert not found, lines(found)


def test_xattrs(trees):
    mount = trees[0]
    assert set(mount.xattr("dir/hello")) == {"version", "age", "expires", "stale", "source"}
    assert os.listxattr(mount / "dir/hello") == run_as(
        NOBODY, NOBODY, [], lambda: os.listxattr(mount / "dir/hello")
    )
