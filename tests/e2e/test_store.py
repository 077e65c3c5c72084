# SPDX-License-Identifier: Apache-2.0
"""The sealed store: `hushfs store`, its files under every kind of damage, killed writers, full disks,
the command `jose`, and a mount that shows it."""

import base64
import concurrent.futures
import json
import os
import pathlib
import pty
import random
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import harness
import pytest
from harness import BIN, QUICK, SLACK, content, version_of, wait_for

HUSHFS = BIN / "hushfs"
ARENA = 5  # HUSH_FD_ARENA of fs/process.h
PASSPHRASE = b"words-that-nobody-would-guess\n"  # without blanks: the prompt of jose ends at one


class Store:
    """A store and its key below one directory."""

    def __init__(self, base, init=True, passphrase=False, user=()):
        """user: what runs the command as somebody else."""
        self.base, self.path, self.key, self.user = base, base / "store", base / "key", user
        self.where = ["--store", self.path, "--key-file", self.key]
        if passphrase:
            self.passphrase = base / "passphrase"
            self.passphrase.write_bytes(PASSPHRASE)
            self.passphrase.chmod(0o400)
            self.where = ["--store", self.path, "--passphrase-file", self.passphrase]
        if init:
            self("init")

    def run(self, command, *arguments, value=None, wrapper=(), seconds=60):
        """A CompletedProcess with bytes."""
        line = [*wrapper, *self.user, HUSHFS, "store", command, *self.where, *arguments]
        environ = dict(os.environ)
        if wrapper:  # the leak sanitizer does not work under strace
            environ["ASAN_OPTIONS"] = environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        return subprocess.run(
            [os.fspath(a) for a in line], input=b"" if value is None else value, capture_output=True,
            timeout=seconds * SLACK, env=environ,
        )  # fmt: skip

    def __call__(self, command, *arguments, value=None):
        done = self.run(command, *arguments, value=value)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def put(self, name, value):
        return self("put", name, *([] if value else ["--allow-empty"]), value=value)

    def get(self, name):
        return self("get", name)

    def fails(self, status, command, *arguments, value=None, word=""):
        """The command must end with status and say word."""
        done = self.run(command, *arguments, value=value)
        assert (done.returncode, done.stdout) == (status, b""), (done.returncode, done.stderr)
        assert done.stderr.startswith(b"hushfs"), done.stderr
        assert word in done.stderr.decode(), done.stderr
        return done.stderr.decode()

    def names(self):
        return self("ls").decode().splitlines()

    def files(self):
        """All that is sealed, by its path in the store."""
        return {str(p.relative_to(self.path)): p for p in sorted(self.path.rglob("*.jwe"))}


@pytest.fixture
def store(tmp_path):
    if not HUSHFS.exists():
        harness.missing(f"{HUSHFS}")
    return Store(tmp_path)


@pytest.fixture
def full(store):
    """A store with a few secrets and versions."""
    fill(store)
    return store


VALUES = {"a#1": b"one", "a#2": b"two", "b/c#1": b"bc\n", "empty#1": b"", "x#1": os.urandom(300)}


def fill(store):
    for name, value in VALUES.items():
        store.put(name.split("#")[0], value)


def check_all(store, but=()):
    """Every version of VALUES is there, but those named."""
    names = [name for name in VALUES if name not in but]
    assert dict(zip(names, two_at_a_time(store.get, names))) == {name: VALUES[name] for name in names}


def two_at_a_time(function, values):
    """What the function, which waits for a process, gives for each value, in their order."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, values))


def jose(*arguments, data=None):
    harness.require("jose")
    return subprocess.run(["jose", *map(os.fspath, arguments)], input=data, capture_output=True, timeout=60)


def typed_jose(passphrase, *arguments):
    """jose, and what it asks for at its terminal."""
    harness.require("jose")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("jose", ["jose", *map(os.fspath, arguments)])
    for prompt in [b"assword"] * (2 if "enc" in arguments else 1):
        seen = b""
        while prompt not in seen:
            seen += os.read(terminal, 1000)
        time.sleep(0.2)
        os.write(terminal, passphrase)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen
    os.close(terminal)


# -- The command --------------------------------------------------------------------------------------


def test_values_come_back_byte_for_byte(store):
    values = [b"", b"\n", b"line\n", b"\0\xff" * 500, os.urandom(1 << 20), "ü".encode()]
    for number, value in enumerate(values, 1):
        assert store.put("some/name", value) == b"some/name#%d\n" % number
        assert store.get("some/name") == value
    for number, value in enumerate(values, 1):
        assert store.get(f"some/name#{number}") == value
    store.fails(4, "get", "some/name#7", word="kept are 1 to 6")
    store.fails(4, "get", "other", word="other")
    store.fails(1, "put", "large", value=bytes((1 << 20) + 1), word="more than 1048576 bytes")
    store.fails(4, "get", "large")


def test_odd_names(store):
    names = ["a b", "ü/ö", ".hidden", "..", "1.jwe", "x#y", "100%", "-", "a" * 255, "tab\tnew\nline", "db/.index.jwe"]
    for name in names:
        store.put(name, name.encode())
    for name in names:
        assert store.get(name) == name.encode()
    listed = [s["name"] for s in json.loads(store("ls", "--json"))]
    assert sorted(listed) == sorted(names)
    store.put("x", b"1")
    store.put("x#1", b"literal")  # a literal name is what is meant
    assert store.get("x#1") == b"literal"
    for name in ["", "/", "/a", "a/", "a//b", "b" * 256]:
        store.fails(2, "put", name, value=b"x", word="name")


def test_a_newline_is_kept_unless(store):
    store.put("kept", b"word\n")
    assert store.get("kept") == b"word\n"
    store("put", "--strip", "stripped", value=b"word\n\n")
    assert store.get("stripped") == b"word\n"
    source = store.base / "file"
    source.write_bytes(b"from file\n")
    store("put", "file", "--file", source)
    assert store.get("file") == b"from file\n"
    store.fails(4, "put", "file", "--file", store.base / "absent", word="absent")


def test_an_empty_value_is_refused_unless(store):
    """`false | hushfs store put x`."""
    store.put("x", b"good")
    empty, newline = store.base / "empty", store.base / "newline"
    empty.write_bytes(b"")
    newline.write_bytes(b"\n")
    before = all_bytes(store)
    for arguments in [], ["--file", empty], ["--file", "-"], ["--strip", "--file", newline]:
        store.fails(1, "put", "x", *arguments, value=b"", word="--allow-empty")
    store.fails(1, "put", "x", "--strip", value=b"\n", word="standard input: the value is empty")
    store.fails(1, "put", "new", value=b"", word="empty")
    assert all_bytes(store) == before and store.names() == ["x"]
    for arguments in [], ["--file", empty], ["--strip", "--file", newline]:
        store("put", "x", "--allow-empty", *arguments, value=b"")
        assert store.get("x") == b""
    assert store.put("x", b"\n") == b"x#5\n"


def test_a_value_is_not_taken_from_the_command_line(store):
    assert "everybody sees it" in store.fails(2, "put", "name", "hunter2")
    assert "hunter2" not in store.fails(2, "put", "name", "hunter2")
    assert store.names() == []


def test_generated_values(store):
    for what, size in [([], 32), (["40"], 40), (["1"], 1)]:
        store("put", "text", "--generate", *what)
        value = store.get("text")
        assert len(value) == size and value.isalnum()
    store("put", "--generate", "uuid", "uuid")
    assert uuid.UUID(store.get("uuid").decode()).version == 4
    for what, text in [("rsa", "Private-Key: (3072 bit"), ("ec", "P-256")]:
        store("put", "key", "--generate", what)
        done = subprocess.run(["openssl", "pkey", "-noout", "-text"], input=store.get("key"), capture_output=True)
        assert text in done.stdout.decode()
    store.fails(2, "put", "name", "--generate=0")
    store.fails(2, "put", "name", "--generate=dsa")
    before = store.names()
    for kind in "dsa", "RSA", "ed25519":
        assert f"no {kind}" in store.fails(2, "put", "--generate", kind, word="LENGTH, uuid, rsa or ec")
        store.fails(2, "put", "--generate", kind, "name", word=f"no {kind}")
        store.fails(2, "put", "name", "--generate", kind, word=f"no {kind}")
    store.fails(2, "put", "--generate", "other", "name", word="LENGTH, uuid, rsa or ec")
    store.fails(2, "put", "--generate", "uuid", word="argument is missing")
    assert store.names() == before
    store("put", "--generate=32", "dsa")
    store("put", "rsa", "--generate")
    assert len(store.get("dsa")) == len(store.get("rsa")) == 32


def test_a_prompt_without_echo(store):
    def typed(*lines):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(HUSHFS, ["hushfs", "store", "put", *map(str, store.where), "typed"])
        seen = b""
        for prompt, line in zip([b"Value: ", b"Once more: "], lines):
            while not seen.endswith(prompt):
                seen += os.read(terminal, 1000)
            time.sleep(0.1)
            os.write(terminal, line)
        try:
            while part := os.read(terminal, 1000):
                seen += part
        except OSError:
            pass
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen

    status, seen = typed(b"hunter2\n", b"hunter2\n")
    assert status == 0 and b"hunter2" not in seen and b"typed#1" in seen, seen
    assert store.get("typed") == b"hunter2"
    status, seen = typed(b"hunter2\n", b"hunter3\n")
    assert status == 1 and b"different" in seen and b"hunter" not in seen
    status, seen = typed(b"\n", b"\n")
    assert status == 1 and b"empty" in seen
    status, seen = typed(b"\x03")
    assert status == -signal.SIGINT
    assert store.get("typed") == b"hunter2"


def test_ls(full):
    assert full.names() == ["a", "b/c", "empty", "x"]
    lines = full("ls", "-l").decode().splitlines()
    assert lines[1].split() == ["2", "2", "3", lines[1].split()[3], "a"]
    assert full("ls", "b").decode().splitlines() == ["b/c"]
    full.fails(4, "ls", "absent")
    rows = {s["name"]: s for s in json.loads(full("ls", "--json"))}
    assert [v["version"] for v in rows["a"]["versions"]] == [2, 1]
    assert abs(rows["a"]["versions"][0]["created"] - time.time()) < 60
    assert b"two" not in full("ls", "--json")


def test_rm_keeps_a_tombstone_until_purged(full):
    full("rm", "a")
    assert "a" not in full.names() and "a" in full("ls", "-a").decode().split()
    full.fails(4, "get", "a", word="removed")
    assert full.get("a#1") == b"one", "an older version was lost"
    full.fails(4, "rm", "a")
    assert full.put("a", b"four") == b"a#4\n"
    full("rm", "--purge", "a")
    full.fails(4, "get", "a#1")
    assert not (full.path / "a").exists()
    assert full("ls", "-a").decode().split() == ["b/c", "empty", "x"]
    assert full.put("a", b"five") == b"a#5\n", "a number came again"
    full.fails(1, "rm", "a#5", word="current")
    full.put("a", b"six")
    full("rm", "a#5")
    full.fails(4, "get", "a#5")
    full.fails(4, "rm", "absent")


def test_keep(store):
    for number in range(1, 14):
        store.put("a", b"%d" % number)
    assert [v["version"] for v in json.loads(store("ls", "--json"))[0]["versions"]] == list(range(13, 3, -1))
    assert len(store.files()) == 10 + 2
    store.fails(4, "get", "a#3")
    store("put", "--keep", "2", "a", value=b"14")
    store.put("a", b"15")  # and it stays so
    assert sorted(store.files()) == [".index.copy.jwe", ".index.jwe", "a/14.jwe", "a/15.jwe"]
    store.fails(2, "put", "--keep", "0", "a")


def test_init_makes_private_things_and_overwrites_nothing(store):
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.key.stat().st_mode) == 0o400
    store.put("a", b"x")
    for path in store.path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700), path
    key = store.key.read_bytes()
    store.fails(1, "init", word=str(store.key))
    store.fails(1, "init", "--existing-key", word="not empty")
    assert store.key.read_bytes() == key and store.get("a") == b"x"
    shutil.rmtree(store.path)
    store("init", "--existing-key")
    assert store.key.read_bytes() == key and store.names() == []


def test_a_store_for_another_user(tmp_path):
    if os.geteuid() != 0:
        harness.missing("root")
    store = Store(tmp_path, init=False)
    store("init", "--owner", "daemon")
    store.put("a/b", b"x")
    for path in [store.key, store.path, *store.path.rglob("*")]:
        assert path.stat().st_uid == harness.DAEMON, path
    store("rekey")
    for path in [store.key, *store.path.rglob("*")]:
        assert path.stat().st_uid == harness.DAEMON, path
    assert stat.S_IMODE(store.key.stat().st_mode) == 0o400


KIB, MIB = 1 << 10, 1 << 20

# RLIMIT_MEMLOCK as in Debian 12, a small one, that of old systems: the largest value, and the largest
# file for import, that fit and that do not.
LOCKED = {
    8 * MIB: ((MIB, MIB + 1), (3 * MIB, 4 * MIB - 100)),
    MIB: ((900_000, 1_000_000), (400_000, 700_000)),
    64 * KIB: ((36_000, 40_000), (18_000, 30_000)),
}


@pytest.fixture
def ordinary():
    """A store of a user who may lock only so much."""
    if os.geteuid() != 0:
        harness.missing("root")
    with tempfile.TemporaryDirectory() as base:
        os.chown(base, harness.WWW, harness.WWW)

        def make(limit):
            user = ["prlimit", f"--memlock={limit}", "setpriv", "--reuid", str(harness.WWW), "--clear-groups"]
            return Store(pathlib.Path(base), init=False, user=user)

        yield make


@pytest.mark.parametrize("limit", LOCKED, ids=lambda limit: f"{limit // KIB} KiB")
def test_a_store_needs_no_root(ordinary, limit):
    (value, large_value), (size, large_size) = LOCKED[limit]
    store = ordinary(limit)
    store("init")
    assert store.put("a", b"x") == b"a#1\n" and store.get("a") == b"x"
    big = os.urandom(value)
    store.put("big", big)
    assert store.get("big") == big
    source = store.base / "some.json"

    def write(total):
        source.write_text(json.dumps({f"f{i}": "v" * (total // 20 - 20) for i in range(20)}))

    write(size)
    assert store("import", source) == b"20 secrets: 20 new or changed\n"
    assert store("import", source) == b"20 secrets: 0 new or changed\n"
    assert store.get("f19") == b"v" * (size // 20 - 20)
    store("rekey")
    assert store.get("big") == big and len(store.names()) == 22
    before = all_bytes(store)
    said = store.fails(1, "put", "larger", value=bytes(large_value), word="more than")
    assert ("RLIMIT_MEMLOCK" in said) == (limit < 8 * MIB)
    write(large_size)
    store.fails(1, "import", source, word="RLIMIT_MEMLOCK")
    assert all_bytes(store) == before


def test_too_little_for_what_is_there(ordinary):
    """Made with more locked memory than there is now: said, and nothing is changed."""
    ordinary(MIB)("init")
    ordinary(MIB).put("big", bytes(100_000))
    source = ordinary(MIB).base / "some.env"
    source.write_text("big=small\n")
    before = all_bytes(ordinary(MIB))
    store = ordinary(64 * KIB)
    for command in ["get", "big"], ["rekey"], ["import", source]:
        store.fails(1, *command, word="RLIMIT_MEMLOCK")
    assert all_bytes(store) == before
    assert store.names() == ["big"]


def test_next_to_no_locked_memory(ordinary):
    for limit in 0, 32 * KIB:
        said = ordinary(limit).fails(1, "init", word=f"RLIMIT_MEMLOCK is {limit // KIB} KiB, at least 36 KiB are needed")
        assert "ulimit -l" in said
    ordinary(36 * KIB)("init")


def test_usage(store, tmp_path):
    for arguments in [[], ["nothing"], ["put"], ["get"], ["get", "a", "b"], ["ls", "--purge"], ["ls", "-i", "x"]]:
        done = subprocess.run([HUSHFS, "store", *arguments], capture_output=True)
        assert done.returncode == 2 and done.stderr, arguments
    for command in ["", "init", "put", "get", "ls", "rm", "rekey", "import"]:
        done = subprocess.run([HUSHFS, "store", *([command] if command else []), "--help"], capture_output=True)
        assert done.returncode == 0 and b"usage: hushfs store" in done.stdout, command
    for option in ["--key-file", "--passphrase-file"]:  # none here is a systemd credential
        for file in ["key", "./key"]:
            done = subprocess.run([HUSHFS, "store", "ls", option, file], capture_output=True)
            assert done.returncode == 2 and f"{option} '{file}' must be an absolute path".encode() in done.stderr
    nowhere = Store(tmp_path / "nowhere", init=False)
    assert nowhere.run("ls").returncode == 6
    assert nowhere.run("put", "a", value=b"x").returncode == 6


def test_import(store):
    source = store.base / "source"
    (source / "db").mkdir(parents=True)
    (source / "db" / "password").write_bytes(b"pw\n")
    (source / "user").write_bytes(b"me")
    assert store("import", source, "--prefix", "app") == b"2 secrets: 2 new or changed\n"
    assert store.names() == ["app/db/password", "app/user"]
    assert store.get("app/db/password") == b"pw\n"
    assert store("import", source / "db", "--prefix", "app/db") == b"1 secret: 0 new or changed\n"
    (source / "user").write_bytes(b"you")
    assert store("import", source, "--prefix", "app") == b"2 secrets: 1 new or changed\n"
    assert store.get("app/user#1") == b"me" and store.get("app/user") == b"you"
    variables = store.base / "some.env"
    variables.write_text("A=1\nexport B='two words'\nEMPTY=\n")
    assert store("import", variables) == b"3 secrets: 3 new or changed; 1 empty\n"
    assert (store.get("A"), store.get("B"), store.get("EMPTY")) == (b"1", b"two words", b"")
    data = store.base / "some.json"
    data.write_text('{"text": "t\\u00fc", "number": 1.50, "more": {"x": [1, 2]}}')
    store("import", data, "--prefix", "j")
    assert (store.get("j/text"), store.get("j/number"), store.get("j/more")) == ("tü".encode(), b"1.50", b'{"x":[1,2]}')
    before = store.names()
    variables.write_text("C=1\nno variable\n")
    store.fails(1, "import", variables, word="line 2")
    variables.write_text("C=1\nC=2\n")
    store.fails(1, "import", variables, word="twice")
    data.write_text('{"bad//name": "x", "good": "y"}')
    store.fails(1, "import", data, word="bad//name")
    data.write_text('{"good": "x", oops}')
    store.fails(1, "import", data, word="malformed JSON at line 1")
    store.fails(2, "import", variables, "--prefix", "a//b", word="a//b")
    store.fails(2, "import", store.key, word=".json")
    assert store.names() == before, "half an import"


def test_a_configuration_finds_the_store(store):
    config = store.base / "hushfs.conf"
    text = f"[mount]\npath = /mnt\n[provider/one]\ntype = sealed\nstore = {store.path}\nkey_file = {store.key}\n"
    config.write_text(text)
    config.chmod(0o600)

    def run(*arguments, value=b""):
        return subprocess.run([HUSHFS, "store", *arguments, "-c", config], input=value, capture_output=True)

    assert run("put", "a", value=b"x").returncode == 0
    assert store.get("a") == b"x"
    assert run("get", "a", "-i", "two").returncode == 3
    config.write_text(text + f"keep = 1\n[provider/two]\ntype = sealed\nstore = {store.path}\n")
    assert run("get", "a").returncode == 3
    assert run("get", "a", "-i", "one").stdout == b"x"
    run("put", "a", "-i", "one", value=b"y")
    store.fails(4, "get", "a#1")


# -- Damage ---------------------------------------------------------------------------------------------


def test_any_byte_that_was_changed(full):
    """Every byte of a version's file: never a wrong value, a clear error, nothing else touched."""
    path = full.path / "b/c/1.jwe"
    good = path.read_bytes()
    rnd = random.Random(5)
    for place in range(0, len(good), 7 if QUICK else 1):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << rnd.randrange(8)]) + good[place + 1 :])
        said = full.fails(1, "get", "b/c", word="b/c/1.jwe")
        assert "bc" not in said.replace("b/c", "")
    check_all(full, but=["b/c#1"])
    path.write_bytes(good)
    check_all(full)


@pytest.mark.timeout(240)
def test_any_byte_of_the_index(full):
    """The copy stands in for it."""
    path = full.path / ".index.jwe"
    good = path.read_bytes()
    rnd = random.Random(6)
    for place in range(0, len(good), 31 if QUICK else 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << rnd.randrange(8)]) + good[place + 1 :])
        assert full.get("a") == b"two"
    check_all(full)
    (full.path / ".index.copy.jwe").write_bytes(b"x")
    for name in VALUES:
        full.fails(1 if name else 0, "get", name, word=".index.jwe")
    full.fails(1, "put", "a", value=b"x", word=".index.jwe")
    path.write_bytes(good)
    check_all(full)


def test_cut_files(full):
    path = full.path / "a/2.jwe"
    good = path.read_bytes()
    for size in [*range(0, len(good), 29), len(good) - 1]:
        path.write_bytes(good[:size])
        full.fails(1, "get", "a", word="a/2.jwe")
    check_all(full, but=["a#2"])
    full.put("a", b"three")  # a new version, and no older one is lost
    assert full.get("a") == b"three"
    path.write_bytes(good)
    check_all(full)


def test_what_is_in_the_way(full):
    path = full.path / "a/2.jwe"
    for make in [lambda: path.mkdir(), lambda: path.symlink_to("1.jwe"), lambda: os.mkfifo(path)]:
        path.unlink(missing_ok=True)
        make()
        full.fails(1, "get", "a", word="a/2.jwe")
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    full.fails(1, "get", "a", word="gone")
    check_all(full, but=["a#2"])
    (full.path / "new").write_bytes(b"")  # a file where a directory should be
    assert full.run("put", "new/x", value=b"x").returncode != 0
    (full.path / "new").unlink()
    (full.path / "new/.1.jwe").mkdir(parents=True)  # a directory where a file should be
    assert full.run("put", "new", value=b"x").returncode != 0
    (full.path / "new/.1.jwe").rmdir()
    full.put("new", b"x")
    check_all(full, but=["a#2"])


def test_swapped_renamed_and_rolled_back(full):
    files = full.files()

    def exchanged(one, two):
        a, b = files[one].read_bytes(), files[two].read_bytes()
        files[one].write_bytes(b)
        files[two].write_bytes(a)

    for one, two, names in [
        ("a/2.jwe", "a/1.jwe", ["a", "a#1"]),
        ("a/1.jwe", "x/1.jwe", ["a#1", "x"]),
        ("empty/1.jwe", "b/c/1.jwe", ["empty", "b/c"]),
        ("a/2.jwe", ".index.copy.jwe", ["a"]),
    ]:
        exchanged(one, two)
        for name in names:
            full.fails(1, "get", name)
        exchanged(one, two)
    check_all(full)
    os.rename(full.path / "a", full.path / "away")
    full.fails(1, "get", "a")
    full.fails(4, "get", "away")
    os.rename(full.path / "away", full.path / "a")
    check_all(full)
    old = files[".index.jwe"].read_bytes()
    full.put("a", b"three")
    full("rm", "x")
    files[".index.jwe"].write_bytes(old)
    full.fails(1, "get", "a", word="older index was put back")
    full.fails(1, "get", "x", word="older index was put back")
    full.fails(1, "put", "a", value=b"four", word="older index was put back")
    assert full.get("b/c") == VALUES["b/c#1"]
    assert full.get("a#1") == b"one", "an older version was lost"


def test_another_key(full):
    other = Store(full.base / "other")
    shutil.copy(full.path / "x/1.jwe", full.base / "good")
    done = full.run("get", "x", "--key-file", other.key)
    assert done.returncode == 5 and b"key" in done.stderr, done.stderr
    assert full.run("put", "x", "--key-file", other.key, value=b"y").returncode == 5
    key = full.key.read_bytes()
    full.key.unlink()
    assert str(full.key) in full.fails(5, "get", "x")
    full.key.write_bytes(key)
    full.key.chmod(0o644)
    full.fails(3, "get", "x", word="chmod 0400")
    full.key.chmod(0o400)
    check_all(full)


def test_a_full_disk(tmp_path):
    if os.geteuid() != 0:
        harness.missing("root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=True)
    try:
        store = Store(disk)
        fill(store)
        with open(disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass
        for pages in range(12):  # with ever more room: it fails at each step once
            done = store.run("put", "a", value=os.urandom(9000))
            if done.returncode == 0:
                break
            assert b"No space left" in done.stderr, done.stderr
            check_all(store)
            assert store.get("a") == b"two"
            os.truncate(disk / "ballast", os.path.getsize(disk / "ballast") - 4096)
        assert pages > 2, "it was never full"
        check_all(store)
        assert len(store.get("a")) == 9000
        store("rm", "--purge", "a")
        check_all(store, but=["a#1", "a#2"])
    finally:
        subprocess.run(["umount", disk], check=True)


# -- Killed at every step ---------------------------------------------------------------------------------

STEPS = ["openat2", "unlinkat", "write", "fchmod", "fsync", "mkdirat", "renameat", "renameat2", "rename", "unlink", "flock"]


def killed_at_every_step(store, command, *arguments, value=None, after):
    """Run the command again and again, killed at the first, second, … call of each kind, and call
    after() each time. How often it was killed."""
    strace = harness.require("strace")
    killed = 0
    for step in STEPS:
        for number in range(1, 200):
            wrapper = [strace, "-f", "-o", "/dev/null", "-e", f"trace={step}",
                       "-e", f"inject={step}:signal=KILL:when={number}"]  # fmt: skip
            done = store.run(command, *arguments, value=value, wrapper=wrapper)
            after(done.returncode == 0)
            if done.returncode == 0:
                break
            assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
            killed += 1
    return killed


@pytest.mark.timeout(400)
def test_put_killed_at_every_step(full):
    state = {"last": b"two", "count": 2}

    def after(ended):
        now = full.get("a")
        number = json.loads(full("ls", "--json", "a"))[0]["version"]
        if ended or number > state["count"]:
            assert now == b"new value" and number == state["count"] + 1
            state.update(last=now, count=number)
        assert now == state["last"]
        assert full.get("b/c") == VALUES["b/c#1"]
        if state["count"] > 2:
            assert full.get(f"a#{state['count'] - 1}") in (b"new value", b"two"), "an older version was lost"

    assert killed_at_every_step(full, "put", "a", value=b"new value", after=after) > 15
    full.put("a", b"after all")
    assert full.get("a") == b"after all"
    check_all(full, but=["a#1", "a#2"])
    left = [p for p in full.files() if pathlib.Path(p).name.startswith(".") and "index" not in p]
    assert not left, "files of dead writers stay"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("passphrase", [False, True], ids=["key", "passphrase"])
def test_rekey_killed_at_every_step(tmp_path, passphrase):
    store = Store(tmp_path, passphrase=passphrase)
    fill(store)
    store("rm", "empty")
    key_file = store.path / ".key.jwe" if passphrase else store.key
    first_key = key_file.read_bytes()
    seen = set()

    def after(_):
        check_all(store, but=["empty#1"] if QUICK else [])
        seen.add(key_file.read_bytes())
        if not passphrase:
            files = store.files()
            opened = two_at_a_time(lambda path: jose("jwe", "dec", "-i", path, "-k", store.key).returncode, files.values())
            assert not any(opened), f"what the key opens, and what it does not: {dict(zip(files, opened))}"

    # Each run that was killed goes on in the next, so that one rekey is killed many times over.
    assert killed_at_every_step(store, "rekey", after=after) > 20
    assert first_key not in (key_file.read_bytes(),) and len(seen) > 3
    old = tmp_path / "old"
    old.write_bytes(first_key)
    if not passphrase:
        for path in store.files().values():
            assert jose("jwe", "dec", "-i", path, "-k", old).returncode != 0, "the old key opens a file"
    store.put("a", b"three")
    check_all(store)


def test_a_new_passphrase(tmp_path):
    store = Store(tmp_path, passphrase=True)
    fill(store)
    new = tmp_path / "new"
    new.write_bytes(b"quite other words than before\n")
    new.chmod(0o400)
    store("rekey", "--new-passphrase-file", new)
    store.fails(5, "get", "a", word="passphrase")
    os.rename(new, store.passphrase)
    check_all(store)


# What is in the file (None: it is a directory), its mode, a word of the message.
REFUSED_PASSPHRASES = {
    "short": (b"15 bytes, no 16\n", 0o400, "less than 16 bytes"),
    "empty": (b"", 0o400, "0 bytes"),
    "a newline": (b"\n", 0o400, "less than 16 bytes"),
    "readable by others": (b"quite other words than before", 0o644, "chmod 0400"),
    "binary": (b"quite other words \xff than before", 0o400, "UTF-8"),
    "long": (b"x" * (1 << 20), 0o400, "1048576 bytes"),
    "a directory": (None, 0o700, "not a regular file"),
}


def all_bytes(store):
    """Every file of a store, and how it is."""
    found = {}
    for path in [store.path, *store.path.rglob("*")]:
        st = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found[path] = (content, st.st_mode, st.st_uid, st.st_ino, st.st_mtime_ns if path.is_file() else 0)
    return found


@pytest.mark.parametrize("interrupted", [False, True], ids=["whole", "interrupted"])
def test_a_passphrase_that_is_refused_changes_nothing(tmp_path, interrupted):
    store = Store(tmp_path, passphrase=True)
    fill(store)
    if interrupted:
        wrapper = [harness.require("strace"), "-f", "-o", "/dev/null", "-e", "inject=renameat:signal=KILL:when=2"]
        assert store.run("rekey", wrapper=wrapper).returncode != 0
    before = all_bytes(store)

    def refused(new, word):
        store.fails(3, "rekey", "--new-passphrase-file", new, word=word)
        assert all_bytes(store) == before, word

    for name, (content, mode, word) in REFUSED_PASSPHRASES.items():
        new = tmp_path / name.replace(" ", "-")
        new.mkdir() if content is None else new.write_bytes(content)
        new.chmod(mode)
        refused(new, word)
    refused(tmp_path / "absent", "absent")
    assert (b"interrupted" in store("rekey")) == interrupted
    check_all(store)


def test_a_short_passphrase_can_be_replaced(tmp_path):
    """As something else than `init` may have given it to a store."""
    store = Store(tmp_path, passphrase=True)
    fill(store)
    key = store.base / "key.jwk"
    typed_jose(PASSPHRASE, "jwe", "dec", "-p", "-i", store.path / ".key.jwe", "-O", key)
    short = b"15-bytes-no-16\n"
    store.passphrase.chmod(0o600)
    store.passphrase.write_bytes(short)
    header = {"protected": {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "cty": "jwk+json"}}
    typed_jose(short, "jwe", "enc", "-p", "-i", json.dumps(header), "-I", key, "-o", store.path / ".key.jwe")
    check_all(store)
    before = all_bytes(store)
    store.fails(3, "rekey", word="less than 16 bytes")
    assert all_bytes(store) == before
    new = tmp_path / "new"
    new.write_bytes(PASSPHRASE)
    new.chmod(0o400)
    store("rekey", "--new-passphrase-file", new)
    os.rename(new, store.passphrase)
    check_all(store)


def test_init_with_a_passphrase_that_is_refused_makes_nothing(tmp_path):
    store = Store(tmp_path, init=False, passphrase=True)
    store.passphrase.chmod(0o600)
    store.passphrase.write_bytes(b"15 bytes, no 16\n")
    store.fails(3, "init", word="less than 16 bytes")
    store.passphrase.unlink()
    store.fails(3, "init", word=str(store.passphrase))
    store.fails(2, "init", "--existing-key", word="passphrase")
    assert not store.path.exists()


def way_out(said):
    """The command that a message says."""
    return shlex.split(re.search(r"hushfs store (rm '[^']*')", said)[1])


DAMAGE = {
    "bytes": lambda path, _: path.write_bytes(b"x"),
    "gone": lambda path, _: path.unlink(),
    "large": lambda path, _: path.write_bytes(bytes(3 << 20)),
    "directory": lambda path, _: (path.unlink(), path.mkdir()),
    "another": lambda path, store: path.write_bytes((store.path / "x/1.jwe").read_bytes()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_rekey_of_a_damaged_store_changes_nothing(full, damage):
    """And says how to go on: for an old version, a current one, and one that was removed."""
    full.put("current", b"v")
    full.put("long/" + "n" * 200, b"old")
    full.put("long/" + "n" * 200, b"new")
    full.put("removed", b"v")
    full("rm", "removed")
    for name, number in ("a", 1), ("current", 1), ("removed", 2), ("long/" + "n" * 200, 1):
        path = full.path / name / f"{number}.jwe"
        DAMAGE[damage](path, full)
        before = all_bytes(full)
        said = full.fails(1, "rekey", word="nothing was changed")
        assert all_bytes(full) == before
        shown = name if len(name) < 100 else "NAME"
        assert f"'{name}/{number}.jwe'"[:50] in said and "from a backup" in said, said
        assert way_out(said) == ["rm", f"{shown}#{number}"], said
        if "put a new value and then" in said:
            full.put(name, b"another")
        full("rm", f"{name}#{number}")
        full("rekey")
    check_all(full, but=["a#1"])
    assert full.get("current") == full.get("removed") == b"another" and full.get("removed#1") == b"v"


def test_rekey_goes_on_with_a_file_from_a_backup(full):
    path = full.path / "a/1.jwe"
    good = path.read_bytes()
    path.write_bytes(b"x")
    full.fails(1, "rekey", word="a/1.jwe")
    path.write_bytes(good)
    full("rekey")
    check_all(full)


def test_a_reader_between_a_commit_and_its_end(full):
    """The index names a version whose file gets its name just when a reader looks for it."""
    strace = harness.require("strace")
    wrapper = [strace, "-f", "-o", "/dev/null", "-e", "trace=renameat,renameat2", "-P", "a/.3.jwe",
               "-e", "inject=renameat,renameat2:signal=KILL:when=1"]  # fmt: skip
    assert full.run("put", "a", value=b"three", wrapper=wrapper).returncode != 0
    pending, final = full.path / "a/.3.jwe", full.path / "a/3.jwe"
    assert pending.exists() and not final.exists() and full.get("a") == b"three"
    time.sleep(0.5)  # an index that was written just now is looked at twice in any case
    log = full.base / "log"
    wrapper = [strace, "-f", "-o", log, "-e", "trace=openat2", "-P", "a/.3.jwe",
               "-e", "inject=openat2:delay_enter=3000000:when=1"]  # fmt: skip
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(full.run, "get", "a", wrapper=wrapper)
        time.sleep(1)
        pending.rename(final)
        done = reader.result()
    assert "ENOENT" in log.read_text(), "it was not there in between"
    assert (done.returncode, done.stdout) == (0, b"three"), done.stderr


# -- The command jose -------------------------------------------------------------------------------------


def test_jose_opens_every_file(full):
    files = full.files()
    for name, value in VALUES.items():
        path = files[name.replace("#", "/") + ".jwe"]
        assert jose("jwe", "dec", "-i", path, "-k", full.key).stdout == value
    index = json.loads(jose("jwe", "dec", "-i", files[".index.jwe"], "-k", full.key).stdout)
    assert list(index["secrets"]) == ["a", "b/c", "empty", "x"]


@pytest.mark.parametrize("compact", [True, False], ids=["compact", "JSON"])
@pytest.mark.parametrize("alg", ["A256KW", "A256GCM"])
def test_what_jose_makes_is_read(tmp_path, alg, compact):
    """A key, the index and a version, all made by jose."""
    store = Store(tmp_path, init=False)
    assert jose("jwk", "gen", "-i", json.dumps({"alg": alg}), "-o", store.key).returncode == 0
    store.key.chmod(0o400)
    store("init", "--existing-key")
    store.put("a", b"ours")
    header = json.loads(base64url((store.path / "a/1.jwe").read_bytes().split(b".")[0]))
    assert header["alg"] == ("dir" if alg == "A256GCM" else alg) and header["enc"] == "A256GCM"
    for path, plain in [
        (store.path / "a/1.jwe", b"theirs"),
        (store.path / ".index.jwe", None),
        (store.path / ".index.copy.jwe", None),
    ]:
        header = json.loads(base64url(path.read_bytes().split(b".")[0]))
        if plain is None:
            plain = jose("jwe", "dec", "-i", path, "-k", store.key).stdout
        done = jose("jwe", "enc", "-i", json.dumps({"protected": header}), "-I", "-", "-k", store.key,
                    "-o", path, *(["-c"] if compact else []), data=plain)  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert store.get("a") == b"theirs"
    store.put("a", b"ours again")
    assert (store.get("a"), store.get("a#1")) == (b"ours again", b"theirs")


def test_jose_and_a_passphrase(tmp_path):
    """RFC 7517: the key is an encrypted JWK."""
    store = Store(tmp_path, passphrase=True)
    store.put("a", b"value")
    typed_jose(PASSPHRASE, "jwe", "dec", "-p", "-i", store.path / ".key.jwe", "-O", store.key)
    assert jose("jwe", "dec", "-i", store.path / "a/1.jwe", "-k", store.key).stdout == b"value"


def base64url(text):
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


# -- Many at once -----------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_two_writers_and_eight_readers(store):
    """Nothing torn, nothing lost: each writer finds its own versions, in its order, whole."""
    seconds = 10 if QUICK else 60
    end = time.monotonic() + seconds
    store.put("shared", content(0, 5000))
    written, failures, reads = {0: [], 1: []}, [], [0]

    def write(writer):
        version = 0
        while time.monotonic() < end:
            version += 1
            done = store.run("put", f"own{writer}" if version % 2 else "shared", value=content(version, 5000))
            if done.returncode != 0:
                failures.append(done.stderr)
                return
            written[writer].append(done.stdout.decode().strip())

    def read():
        while time.monotonic() < end:
            done = store.run("get", "shared")
            if done.returncode != 0:
                failures.append(done.stderr)
                return
            version_of(done.stdout)
            reads[0] += 1

    def guarded(function, *arguments):
        try:
            function(*arguments)
        except BaseException as failure:
            failures.append(repr(failure))

    threads = [threading.Thread(target=guarded, args=(write, w)) for w in (0, 1)]
    threads += [threading.Thread(target=guarded, args=(read,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert reads[0] > 20 and all(len(w) > 5 for w in written.values())
    names = written[0] + written[1]
    assert len(set(names)) == len(names), "a version was given twice"
    rows = {s["name"]: s["version"] for s in json.loads(store("ls", "--json"))}
    assert rows["shared"] == 1 + sum(n.startswith("shared") for n in names), "a version was lost"
    for writer in (0, 1):
        assert rows[f"own{writer}"] == sum(n.startswith("own") for n in written[writer])


# -- In a mount -------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(mount):
    """A mount of a store that belongs to its worker."""
    m = mount(start=False)
    store = Store(m.base, init=False)
    store("init", "--owner", harness.WORKER_USER)
    m.sections["provider/local"] = {"type": "sealed", "store": store.path, "key_file": store.key, "ttl": 3600}
    m.write_config()
    fill(store)
    m.store = store
    return m


def test_a_mount_shows_the_store(sealed):
    m = sealed.start()
    top = m.path / "local"
    assert sorted(os.listdir(top)) == ["a", "b", "empty", "x"]
    assert harness.read(top / "a") == b"two"
    assert harness.read(top / "a#1") == b"one"
    assert harness.read(top / "b/c") == b"bc\n"
    assert harness.read(top / "x") == VALUES["x#1"] and harness.read(top / "empty") == b""
    assert harness.outcome(lambda: harness.read(top / "a#9")) == "ENOENT"
    assert harness.outcome(lambda: harness.read(top / ".index.jwe")) == "ENOENT"


def test_a_mount_shows_a_put_at_once(sealed):
    m = sealed.start()
    top = m.path / "local"
    assert harness.read(top / "a") == b"two"
    assert "later" not in os.listdir(top)
    for number in range(5):
        value = content(number, 200)
        m.store.put("a", value)
        wait_for(lambda: harness.read(top / "a") == value, 2, "the new value")
    m.store.put("later/on", b"new")
    wait_for(lambda: "later" in os.listdir(top), 2, "a new folder")
    assert harness.read(top / "later/on") == b"new"
    m.store("rm", "a")
    wait_for(lambda: not (top / "a").exists(), 2, "the removal")
    m.store("rekey")
    m.store.put("b/c", b"after the rekey")
    wait_for(lambda: harness.read(top / "b/c") == b"after the rekey", 2, "a value under the new key")
    assert harness.read(top / "x") == VALUES["x#1"]


def test_damage_stays_where_it_is(sealed):
    (sealed.store.path / "a/2.jwe").write_bytes(b"damaged")
    sealed.expect_log("a/2.jwe")
    m = sealed.start()
    top = m.path / "local"
    assert harness.outcome(lambda: harness.read(top / "a")) == "EIO"
    assert harness.read(top / "b/c") == b"bc\n"
    assert harness.read(top / "a#1") == b"one"


@pytest.mark.scans_memory
def test_no_copy_in_the_worker(sealed):
    """Of a value nothing stays when the mount let go of it, and of the key only its locked page."""
    needle = b"".join(b"%02x" % b for b in random.Random(9).randbytes(24))
    key = json.loads(sealed.store.key.read_bytes())["k"].encode()
    raw_key = base64url(key)
    sealed.store.put("a", needle)
    m = sealed.start()
    assert harness.read(m.path / "local/a") == needle
    worker = m.pids()["worker"]

    def found(what):
        row = harness.memscan(worker, what, ARENA)
        return row["whole"] + row["fragments"]

    assert found(needle) > 0
    m.store("rm", "--purge", "a")
    wait_for(lambda: not (m.path / "local/a").exists(), 3, "the removal")
    wait_for(lambda: found(needle) == 0, 10, "0 copies of the value")
    assert found(raw_key) == 0
    assert harness.memscan(worker, key)["whole"] <= 1
