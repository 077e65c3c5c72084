# SPDX-License-Identifier: Apache-2.0
"""Names that a backend may have: shown escaped and reversible (fs/name.h), and none of them spoils the
directory for the others."""

import os
import stat
import subprocess

import harness
import pytest
from harness import outcome, wait_for

# raw name in the backend -> shown name
SHOWN = {
    b"plain": b"plain",
    b"with space": b"with space",
    b" leading": b" leading",
    b"trailing ": b"trailing ",
    b"-rf": b"-rf",
    b"*?[a]": b"*?[a]",
    b"quote'\"\\": b"quote'\"\\",
    b"$(id)`id`": b"$(id)`id`",
    b".hidden": b".hidden",
    b"db#1": b"db#1",
    b"#": b"#",
    b"a#b#c": b"a#b#c",
    b"#9": b"#9",
    b"100%": b"100%25",
    b"%": b"%25",
    b"%2F": b"%252F",
    b"%zz": b"%25zz",
    b"new\nline": b"new%0Aline",
    b"tab\t": b"tab%09",
    b"esc\x1b[31m": b"esc%1B[31m",
    b"del\x7f": b"del%7F",
    b"\x01": b"%01",
    b".hushfs": b"%2Ehushfs",
    b".hushfs~0123456789abcdef": b"%2Ehushfs~0123456789abcdef",
    b".json": b"%2Ejson",
    b".value": b"%2Evalue",
    b"\xff\xfe": b"%FF%FE",
    b"half\xc3": b"half%C3",
    b"over\xc0\xaf": b"over%C0%AF",
    "prix-été-€".encode(): "prix-été-€".encode(),
    "鍵🔑".encode(): "鍵🔑".encode(),
    b"x" * 255: b"x" * 255,
    b"Case": b"Case",
    b"case": b"case",
}
TOO_LONG = [b"y" * 254 + b"%", b"\n" * 86]  # over 255 bytes once they are escaped: not shown
RESERVED = [b"..data", b"..."]  # type = file keeps these to itself, as Kubernetes does


def raw_path(mount, name):
    return os.path.join(os.fsencode(mount.source), b"odd", name)


def shown_path(mount, name):
    return os.path.join(os.fsencode(mount / "odd"), name)


@pytest.fixture(scope="module")
def odd(module_mount, open_mode):
    """s/odd with all these names; the value of each is its raw name."""
    m = module_mount(start=False, mount_options={"open": open_mode})
    (m.source / "odd").mkdir()
    for raw in [*SHOWN, *TOO_LONG, *RESERVED]:
        with open(raw_path(m, raw), "wb") as out:
            out.write(raw)
    m.expect_log(r"odd.*(long|255|hidden|skipped|cannot be shown)|(long|255|hidden|skipped|cannot be shown).*odd")
    return m.start()


def test_the_listing_is_whole(odd):
    names = os.listdir(os.fsencode(odd / "odd"))
    assert sorted(names) == sorted(SHOWN.values())
    assert len(names) == len(set(names))
    for entry in os.scandir(os.fsencode(odd / "odd")):
        assert entry.is_file(follow_symlinks=False)
    listed = subprocess.run(["ls", "-la", odd / "odd"], capture_output=True)
    assert listed.returncode == 0, listed.stderr


@pytest.mark.parametrize("raw", SHOWN, ids=lambda raw: repr(raw)[2:30])
def test_each_name_is_read(odd, raw):
    path = shown_path(odd, SHOWN[raw])
    assert harness.read(path) == raw
    assert os.stat(path).st_size == len(raw)
    assert stat.S_ISREG(os.lstat(path).st_mode)


@pytest.mark.parametrize("raw", [*TOO_LONG, *RESERVED], ids=["percent", "newlines", "..data", "..."])
def test_what_is_not_shown_spoils_nothing(odd, raw):
    assert outcome(lambda: os.stat(shown_path(odd, raw))) in ("ENOENT", "ENAMETOOLONG")
    assert harness.read(odd / "odd/plain") == b"plain"


OTHER_SPELLINGS = [b"100%", b"%2Eplain", b"%70lain", b"new\nline", b"%ff%fe", b"\xff\xfe", b"%", b"%2", b"%2fx", b"%00"]


@pytest.mark.parametrize("name", OTHER_SPELLINGS, ids=lambda name: repr(name)[2:30])
def test_no_two_paths_reach_one_secret(odd, name):
    assert outcome(lambda: os.stat(shown_path(odd, name))) == "ENOENT"


@pytest.mark.parametrize("size, expected", [(255, "ENOENT"), (256, "ENAMETOOLONG"), (1024, "ENAMETOOLONG"), (4000, "ENAMETOOLONG")])
def test_long_names(odd, size, expected):
    assert outcome(lambda: os.stat(odd / "odd" / ("z" * size))) == expected
    assert outcome(lambda: harness.read(odd / "odd" / ("z" * size))) == expected


def test_dots(odd):
    assert os.path.samestat(os.stat(odd / "odd/."), os.stat(odd / "odd"))
    assert os.path.samestat(os.stat(odd / "odd/.."), os.stat(odd.path / "s"))
    names = [e for e in subprocess.check_output(["ls", "-a", odd / "odd"]).split(b"\n")]
    assert names.count(b".") == 1 and names.count(b"..") == 1


def test_nothing_outside_of_the_root_is_reached(odd):
    """`..` in whatever spelling is no way up in the backend."""
    (odd.base / "outside").write_bytes(b"outside")
    for name in (b"%2E%2E", b"%2E.", b"..%2Foutside", b"%2E.%2Foutside"):
        assert outcome(lambda: os.stat(shown_path(odd, name))) == "ENOENT", name
        assert outcome(lambda: harness.read(shown_path(odd, name + b"/outside"))) in ("ENOENT", "ENOTDIR"), name


def test_a_link_that_leads_out_of_the_root_is_not_followed(mount):
    m = mount(files={"plain": b"plain"}, start=False)
    (m.base / "outside").write_bytes(b"outside")
    os.symlink("../outside", m.source / "link")
    os.symlink("/etc/passwd", m.source / "absolute")
    m.expect_log("s/link|s/absolute")
    m.start()
    for name in ("link", "absolute"):
        assert outcome(lambda: harness.read(m / name)) in ("ENOENT", "EACCES", "EIO", "ELOOP")
    assert harness.read(m / "plain") == b"plain"


def test_versions_and_hashes(mount, open_mode):
    """The literal name wins over a #VERSION reading; one that is no version is not there."""
    m = mount(files={"db": b"current", "db#1": b"literal"}, mount_options={"open": open_mode})
    assert harness.read(m / "db#1") == b"literal"
    assert harness.read(m / "db") == b"current"
    for name in ("db#2", "db#", "#db", "#", "db#1#1", "nope#1"):
        assert outcome(lambda: harness.read(m / name)) == "ENOENT", name
    assert sorted(os.listdir(m / "")) == ["db", "db#1"]


def test_odd_names_rotate(odd):
    """The mover renames under any name."""
    for raw in (b"with space", b"new\nline", b"\xff\xfe", b"x" * 255, b"100%", b".hushfs", "鍵🔑".encode()):
        path = shown_path(odd, SHOWN[raw])
        before = os.stat(path).st_ino
        new = odd.base / "stage" / "new"
        new.write_bytes(b"rotated " + raw)
        os.rename(os.fsencode(new), raw_path(odd, raw))
        wait_for(lambda: harness.read(path) == b"rotated " + raw, 3, f"the rotation of {raw!r}")
        assert os.stat(path).st_ino != before


def test_the_control_directory_is_no_instance(mount):
    """.hushfs is at the top only, and is not hidden by a secret of that name."""
    m = mount(files={".hushfs/status": b"a secret of that name"})
    assert b"of that name" not in harness.read(m.path / ".hushfs" / "status")
    assert harness.read(m / "%2Ehushfs/status") == b"a secret of that name"
    assert ".hushfs" not in os.listdir(m / "")


@pytest.mark.parametrize("value", [b"", b"\0", b"\0" * 4096, b"x" * 65536, bytes(range(256)) * 40, b"no newline"])
def test_values_are_bytes(mount, value):
    m = mount(files={"value": value})
    assert harness.read(m / "value") == value
    assert os.stat(m / "value").st_size == len(value)


def test_a_large_directory(mount, open_mode):
    """More names than one READDIR answers."""
    m = mount(files={f"d/name-{i:05}-{'x' * 40}": b"v" for i in range(1500)}, mount_options={"open": open_mode})
    names = os.listdir(m / "d")
    assert len(names) == 1500 and len(set(names)) == 1500
    assert harness.read(m / "d" / names[777]) == b"v"


def test_deep_paths(mount, open_mode):
    path = "/".join(f"level{i}" for i in range(40))
    m = mount(files={f"{path}/db": b"deep", "db": b"top"}, mount_options={"open": open_mode})
    assert harness.read(m / f"{path}/db") == b"deep"
    assert os.listdir(m / path) == ["db"]


def test_a_path_that_is_too_long_for_a_backend(mount):
    """HUSH_PATH_MAX is 2048: beyond it there is nothing, and nothing breaks."""
    m = mount(files={"db": b"top"})
    result = outcome(lambda: os.stat(m / "/".join(["d" * 200] * 15)))
    assert result in ("ENOENT", "ENAMETOOLONG")
    assert harness.read(m / "db") == b"top"
