# SPDX-License-Identifier: Apache-2.0
"""A rotation is an atomic replace: no torn or mixed read, old descriptors keep old bytes, watchers see
what an atomic writer would make them see, and what did not change wakes nobody."""

import json
import mmap
import os
import time

import harness
import pytest
from harness import QUICK, Inotify, Reader, Rotator, content, version_of, wait_for

SECONDS = 10 if QUICK else 60


@pytest.fixture
def rotating(mount, open_mode):
    """A mount that shows s/dir/db, version 1."""
    return mount(files={"dir/db": content(1)}, mount_options={"open": open_mode})


def rotate(mount, version, size=None, name="dir/db"):
    """Write a version and wait until a new open gives it."""
    mount.put(name, content(version, size))
    wait_for(lambda: version_of(harness.read(mount / name)) == version, 2, f"version {version}")


@pytest.mark.timeout(SECONDS + 60)
def test_no_torn_read_under_rotation(mount, open_mode):
    names = ["a", "dir/b"]
    m = mount(files={n: content(1) for n in names}, mount_options={"open": open_mode})

    def write(data):
        for name in names:
            m.put(name, data)

    with Reader(*[m / n for n in names], threads=8, pause_us=500) as reader:
        time.sleep(0.2)
        with Rotator(write, per_second=10) as rotator:
            time.sleep(SECONDS)
            last = rotator.stop()
        wait_for(lambda: all(version_of(harness.read(m / n)) == last for n in names), 2, "the last version")
        time.sleep(0.2)
        report = reader.stop()
    print(report)
    harness.assert_clean(report, newest=last)
    assert report["oldest"] == 1 and last > 8 * SECONDS
    assert report["maps"] > 0


def test_a_descriptor_keeps_its_version(rotating):
    path, old = rotating / "dir/db", content(1)
    fd = os.open(path, os.O_RDONLY)
    unread = os.open(path, os.O_RDONLY)  # nothing of it is cached by a read of its own
    before = os.fstat(fd)
    mapped = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    for version in range(2, 6):
        rotate(rotating, version)
    assert os.pread(fd, 1 << 20, 0) == old
    assert os.read(unread, 1 << 20) == old
    assert mapped[:] == old
    after = os.fstat(fd)
    for key in ("st_ino", "st_size", "st_mtime", "st_mode", "st_uid"):
        assert getattr(after, key) == getattr(before, key), key
    assert os.stat(path).st_ino != before.st_ino
    assert os.stat(path).st_size == len(content(5))
    mapped.close()
    os.close(fd)
    os.close(unread)


def test_an_untouched_mapping_keeps_its_version(rotating):
    """Pages that were never touched before the rotation are of the old version as well."""
    rotate(rotating, 2, 60000)
    fd = os.open(rotating / "dir/db", os.O_RDONLY)
    mapped = mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    os.close(fd)
    for version in range(3, 6):
        rotate(rotating, version, 60000)
    assert version_of(mapped[:]) == 2


def test_mtime_rises_by_a_second_per_version(rotating):
    seen = [os.stat(rotating / "dir/db")]
    for version in range(2, 6):  # faster than a second each
        rotate(rotating, version)
        seen.append(os.stat(rotating / "dir/db"))
    for old, new in zip(seen, seen[1:]):
        assert int(new.st_mtime) >= int(old.st_mtime) + 1
        assert new.st_ino != old.st_ino
        assert new.st_nlink == 1


def test_an_unchanged_value_wakes_nobody(rotating):
    path, source = rotating / "dir/db", rotating.source / "dir" / "db"
    rotate(rotating, 2)
    before = os.stat(path)
    with Inotify(path.parent, path) as watch:
        rotating.put("dir/db", content(2))
        time.sleep(0.3)
        os.utime(source)
        assert harness.read(path) == content(2)
        rotating.refresh("dir/db")
        assert harness.read(path) == content(2)
        noise = {"OPEN", "ACCESS", "CLOSE_NOWRITE"}
        assert [e for e in watch.events(0.7) if e[1] - noise] == []
    after = os.stat(path)
    assert (after.st_ino, after.st_mtime) == (before.st_ino, before.st_mtime)


def test_watchers_see_an_atomic_replace(rotating):
    path = rotating / "dir/db"
    harness.read(path)
    with Inotify(path.parent, path) as watch:
        rotating.put("dir/db", content(2))

        def complete(events):
            seen = {(where, bit, name) for where, bits, name in events for bit in bits}
            return {
                (str(path.parent), "MOVED_TO", "db"),
                (str(path), "ATTRIB", ""),
                (str(path), "DELETE_SELF", ""),
            } <= seen

        watch.wait(complete, 3)
        assert version_of(harness.read(path)) == 2
        # And again: the watch on the directory goes on, the new file needs one of its own.
        watch.watch(path)
        rotating.put("dir/db", content(3))
        watch.wait(complete, 3)
        assert version_of(harness.read(path)) == 3


def test_the_event_comes_when_the_new_version_can_be_read(rotating):
    """A watcher that opens at once upon MOVED_TO gets the new version, every time."""
    path = rotating / "dir/db"
    harness.read(path)
    with Inotify(path.parent) as watch:
        for version in range(2, 12):
            rotating.put("dir/db", content(version))
            watch.wait(lambda es: any("MOVED_TO" in bits and name == "db" for _, bits, name in es), 3)
            assert version_of(harness.read(path)) == version


def test_watchers_see_names_come_and_go(mount, open_mode):
    m = mount(files={"dir/a": b"1"}, mount_options={"open": open_mode})
    assert os.listdir(m / "dir") == ["a"]
    m.put("dir/b", b"2")
    wait_for(lambda: sorted(os.listdir(m / "dir")) == ["a", "b"], 2, "the new name")
    assert harness.read(m / "dir/b") == b"2"
    m.remove("dir/a")
    wait_for(lambda: os.listdir(m / "dir") == ["b"], 2, "the removed name")
    wait_for(lambda: harness.outcome(lambda: harness.read(m / "dir/a")) == "ENOENT", 2, "ENOENT")


def test_a_removed_secret_that_comes_back_is_a_new_version(rotating):
    path = rotating / "dir/db"
    old = os.stat(path)
    rotating.remove("dir/db")
    wait_for(lambda: harness.outcome(lambda: os.stat(path)) == "ENOENT", 2, "ENOENT")
    rotating.put("dir/db", content(9))
    wait_for(lambda: harness.outcome(lambda: os.stat(path)) == "ok", 10, "the secret again")
    assert version_of(harness.read(path)) == 9
    assert os.stat(path).st_ino != old.st_ino


def test_no_stage_names_are_seen(rotating):
    """The names that the mover renames from are nobody's business."""
    path, seen = (rotating / "dir/db").parent, set()
    with Rotator(lambda data: rotating.put("dir/db", data), per_second=50) as rotator:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            seen.update(os.listdir(path))
            harness.read(path / "db")
        rotator.stop()
    assert seen == {"db"}


# -- Secrets with fields ---------------------------------------------------------------------------------

FIELDS = ("user", "password")


def fields(version):
    text = content(version, 300 + version % 50).decode()
    return json.dumps({name: text for name in FIELDS}).encode()


@pytest.fixture
def map_mount(mount, open_mode):
    m = mount(
        provider="test",
        files={"db": fields(1), "db.fields": b""},
        mount_options={"open": open_mode},
        options={"as": "directory"},
    )
    assert version_of(harness.read(m / "db/user")) == 1
    return m


def rotate_fields(m, version):
    m.put("db", fields(version))
    m.refresh("db")


def test_fields_of_one_directory_are_of_one_version(map_mount):
    seconds = 3 if QUICK else 10
    with Reader(map_mount / "db", fields=(*FIELDS, "user"), threads=8, pause_us=300) as reader:
        version, end = 1, time.monotonic() + seconds
        while time.monotonic() < end:
            version += 1
            rotate_fields(map_mount, version)
            time.sleep(0.05)
        time.sleep(0.2)
        report = reader.stop()
    print(report)
    harness.assert_clean(report, newest=version)
    assert version > 3 * seconds


def test_an_open_directory_keeps_its_version(map_mount):
    fd = os.open(map_mount / "db", os.O_RDONLY | os.O_DIRECTORY)
    rotate_fields(map_mount, 2)
    assert version_of(harness.read(map_mount / "db/user")) == 2
    for name in FIELDS:
        assert version_of(harness.read(name, dir_fd=fd)) == 1
    assert sorted(n for n in os.listdir(fd) if n != ".json") == sorted(FIELDS)
    assert json.loads(harness.read(".json", dir_fd=fd)) == json.loads(fields(1))
    os.close(fd)
    assert json.loads(harness.read(map_mount / "db/.json")) == json.loads(fields(2))


def test_a_field_that_goes_and_one_that_comes(map_mount):
    map_mount.put("db", json.dumps({"user": "u", "port": 5432}).encode())
    map_mount.refresh("db")
    assert harness.read(map_mount / "db/port") == b"5432"
    assert harness.read(map_mount / "db/user") == b"u"
    assert harness.outcome(lambda: harness.read(map_mount / "db/password")) == "ENOENT"


def test_watchers_of_a_secret_with_fields(map_mount):
    with Inotify(map_mount.path / "s") as watch:
        rotate_fields(map_mount, 2)
        watch.wait(lambda es: any("MOVED_TO" in bits and name == "db" for _, bits, name in es), 3)
        assert version_of(harness.read(map_mount / "db/user")) == 2
