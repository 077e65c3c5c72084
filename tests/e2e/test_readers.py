# SPDX-License-Identifier: Apache-2.0
"""33 ordinary readers read the whole file: never seen before, expired, warm, right after `ls -l`, and
through a bind mount of the single file after a rotation."""

import itertools
import os
import subprocess
import time

import harness
import pytest
import zoo
from harness import wait_for

STATES = ["cold", "expired", "warm", "listed"]
EXPIRED_TTL = 1
numbers = itertools.count()

CHECKED = pytest.mark.parametrize("open_mode", ["checked"], indirect=True)


@pytest.fixture(scope="module")
def pems():
    """Two certificates with their keys: before and after a rotation."""
    return zoo.make_pem(), zoo.make_pem()


@pytest.fixture(scope="module")
def zoo_mount(module_mount, open_mode, pems):
    """One mount for all readers: each reader has a file of its own for each state."""
    states = [*STATES, "bound", "direct"]
    direct = {} if open_mode == "kernel" else {"path/s/direct/**": {"page_cache": "no"}}
    mount = module_mount(
        files={f"{state}/{reader}/tls.pem": pems[0] for state in states for reader in zoo.RECIPES},
        mount_options={"open": open_mode},
        options={"mode": "0600", "dir_mode": "0755"},
        sections={"path/s/expired/**": {"ttl": EXPIRED_TTL}, **direct},
    )
    mount.reference = mount.base / "reference.pem"
    mount.reference.write_bytes(pems[0])
    for reader in zoo.RECIPES:
        assert harness.read(mount / f"expired/{reader}/tls.pem") == pems[0]
    mount.expired_from = time.monotonic() + EXPIRED_TTL + 0.1
    return mount


def read_with(mount, reader, file, reference=None):
    zoo.run(reader, file, reference or mount.reference, mount.base / f"work-{next(numbers)}")


@pytest.mark.parametrize("reader", zoo.RECIPES)
@pytest.mark.parametrize("state", STATES)
def test_reader(zoo_mount, state, reader):
    file = zoo_mount / f"{state}/{reader}/tls.pem"
    if state == "expired":
        time.sleep(max(0, zoo_mount.expired_from - time.monotonic()))
    elif state == "warm":
        harness.read(file)
        os.stat(file)
    elif state == "listed":
        listing = subprocess.run(["ls", "-l", file.parent], check=True, capture_output=True, text=True)
        assert f" {zoo_mount.reference.stat().st_size} " in listing.stdout
    read_with(zoo_mount, reader, file)


# A mapping that is shared needs the page cache: ENODEV there is what page_cache = no says it does.
@CHECKED  # open = kernel and page_cache = no exclude each other
@pytest.mark.parametrize("reader", [r for r in zoo.RECIPES if r != "python-mmap-shared"])
def test_reader_without_page_cache(zoo_mount, open_mode, reader):
    read_with(zoo_mount, reader, zoo_mount / f"direct/{reader}/tls.pem")


@CHECKED  # who else would see the opens of a pinned node?
@pytest.mark.parametrize("reader", [r for r in zoo.RECIPES if r != "nginx-static"])  # that one reads a directory
def test_reader_of_a_bind_mounted_file(zoo_mount, open_mode, pems, reader):
    """As containers are given a secret. The new content, without mounting again (open = checked)."""
    mount, target = zoo_mount, zoo_mount.base / f"bound-{next(numbers)}" / "tls.pem"
    target.parent.mkdir()
    target.touch()
    secret = mount / f"bound/{reader}/tls.pem"
    harness.read(secret)
    subprocess.run(["mount", "--bind", secret, target], check=True)
    try:
        assert harness.read(target) == pems[0]
        mount.put(f"bound/{reader}/tls.pem", pems[1])
        wait_for(lambda: harness.read(secret) == pems[1], 5, "the rotation")
        new = mount.base / "rotated.pem"
        new.write_bytes(pems[1])
        read_with(mount, reader, target, new)
    finally:
        subprocess.run(["umount", target], check=True)
