# SPDX-License-Identifier: Apache-2.0
"""`hushfs get` without a mount: paths as they are shown, references, types of values, exit status."""

import json
import os
import pty

import pytest
from cli import BIN, CONFIG, DONE, FAILED, NOT_FOUND, USAGE, run, write

ENVIRON = {
    "APP_TOKEN": "tok",
    "APP_TOKEN_PREVIOUS": "old",
    "APP_EMPTY": "",
    "APP_PG_CREDS": json.dumps({"username": "u\u00e9", "port": 5432, "empty": ""}),
    "APP_B64": "AAH/",
    "MY_SECRET_VALUE": "mine",
}


@pytest.fixture
def config(tmp_path):
    files = tmp_path / "files"
    write(files / "db" / "password.txt", "hunter2\n")
    write(files / "creds", '{"user": "u", "b64": "Zm9v", "n": 5, "o": {"a": [1]}, ".json": "odd"}')
    write(files / "binary", bytes(range(256)) * 1000)
    write(files / "a#1", "literal")
    write(files / "bad64", "hunter2!")
    write(files / "100%", "percent")
    return write(
        tmp_path / "c",
        f"""\
[mount]
path = {tmp_path}/m
[provider/env]
type = env
prefix = APP_
[provider/env64]
type = env
prefix = APP_
base64_decode = yes
[provider/files]
type = file
root = {files}
[provider/maps]
type = file
root = {files}
base64_decode = yes
[path/maps/creds]
as = directory
""",
    )


def get(config, what, *more):
    return run("get", "-c", config, *more, what, environ=ENVIRON)


GIVES = {
    "env/token": b"tok",
    "env/token#2": b"old",
    "env/token#previous": b"old",
    "env/empty": b"",
    "env64/b64": b"\x00\x01\xff",
    "files/db/password.txt": b"hunter2\n",
    "files/binary": bytes(range(256)) * 1000,
    "files/a#1": b"literal",
    "files/100%25": b"percent",
    "maps/creds/user": None,  # no base64
    "maps/creds/b64": b"foo",
    "maps/creds/.json": b'{"user": "u", "b64": "Zm9v", "n": 5, "o": {"a": [1]}, ".json": "odd"}',
    "{vault://env/token}": b"tok",
    "{vault://env/token#2}": b"old",
    "{vault://env/token#1}": b"tok",
    "{vault://env/pg-creds/username}": "u\u00e9".encode(),
    "{vault://env/pg-creds/empty}": b"",
    "{vault://env/secret-value?prefix=MY_}": b"mine",
    "{vault://env/secret-value?prefix=MY_&ttl=5&neg_ttl=1m&resurrect_ttl=0}": b"mine",
    "{vault://env/b64?base64_decode=yes}": b"\x00\x01\xff",
    "{vault://files/creds/user}": b"u",
    "{vault://files/db/password.txt}": b"hunter2\n",
    "{vault://files/db/password.txt/}": b"hunter2\n",
    "{vault://files/db%2Fpassword.txt}": b"hunter2\n",
    "{vault://maps/creds/b64}": b"foo",
}


@pytest.mark.parametrize("what", [name for name, value in GIVES.items() if value is not None])
def test_gives(config, what):
    result = get(config, what)
    assert (result.status, result.err) == (DONE, ""), result
    assert result.out == GIVES[what]


REFUSES = {
    "env/none": (NOT_FOUND, "APP_NONE"),
    "env/token/none": (NOT_FOUND, ""),
    "files/none": (NOT_FOUND, "none"),
    "files/db": (NOT_FOUND, "directory"),
    "files/creds/user": (NOT_FOUND, ""),  # shown as a file: there is nothing in it
    "files/a%231": (NOT_FOUND, "shown"),  # not how it is shown
    "files/../c": (NOT_FOUND, "shown"),
    "files/db//password.txt": (NOT_FOUND, "shown"),
    "nobody/x": (NOT_FOUND, "[provider/nobody]"),
    "env": (USAGE, "INSTANCE/SECRET"),
    "/env/token": (USAGE, "INSTANCE/SECRET"),
    "maps/creds/none": (NOT_FOUND, "none"),
    "maps/creds/user": (FAILED, "base64"),
    "maps/bad64": (FAILED, "base64"),
    "{vault://env/none}": (NOT_FOUND, "APP_NONE"),
    "{vault://env/pg-creds/none}": (NOT_FOUND, "'none'"),
    "{vault://env/pg-creds/port}": (FAILED, "not a string"),
    "{vault://env/token/key}": (FAILED, "JSON"),
    "{vault://files/creds/o}": (FAILED, "not a string"),
    "{vault://files/..%2Fc}": (USAGE, ".."),
    "{vault://nobody/x}": (NOT_FOUND, "nobody"),
    "{vault://file/creds/user}": (USAGE, "several"),
    "{vault://env/token?nonsense=1}": (USAGE, "nonsense"),
    "{vault://env/token?ttl=soon}": (USAGE, "duration"),
    "{vault://env}": (USAGE, "missing path"),
    "{vault://env/}": (USAGE, "empty path"),
    "{vault://files/creds#2}": (FAILED, "versions"),
    "{vault://env/token": (USAGE, "form {vault://"),
    "{vlaut://env/token}": (USAGE, "form {vault://"),
}


@pytest.mark.parametrize("what", REFUSES)
def test_refuses(config, what):
    status, word = REFUSES[what]
    result = get(config, what)
    assert (result.status, result.out) == (status, b""), result
    assert word in result.err
    assert "hunter2" not in result.err  # never a value


def test_a_version_that_is_not_there(tmp_path):
    """As `hushfs store get` says it: which are kept, and not that there is no such literal name."""
    where = ["--store", tmp_path / "store", "--key-file", tmp_path / "key"]
    assert run("store", "init", *where).status == DONE
    assert run("store", "put", *where, "--generate", "db/pw").status == DONE
    text = f"[provider/s]\ntype = sealed\nstore = {tmp_path}/store\nkey_file = {tmp_path}/key\n"
    config = write(tmp_path / "c", f"[mount]\npath = {tmp_path}/m\n{text}")
    said = "'db/pw' has no version 7: kept are 1 to 1"
    for what, word in ("s/db/pw#7", said), ("s/none", "'none'"), ("s/none#1", "'none'"), ("s/db/pw#x", "'x' is no version of 'db/pw'"):
        result = run("get", "-c", config, what)
        assert result.status == NOT_FOUND and word in result.err, result
    assert run("store", "put", *where, "--generate=8", "db/pw#7").status == DONE
    assert len(run("get", "-c", config, "s/db/pw#7").out) == 8, "the literal name wins"


def test_types_without_a_configuration(config):
    if os.path.exists("/etc/hushfs/hushfs.conf"):
        pytest.skip("there is a configuration")
    assert run("get", "{vault://env/my-secret-value}", environ=ENVIRON).out == b"mine"
    result = run("get", f"{{vault://file/creds/user?root={config.parent}/files}}")
    assert (result.status, result.out) == (DONE, b"u")
    result = run("get", "{vault://file/creds/user}")
    assert result.status == USAGE
    assert "'root'" in result.err
    assert run("get", "env/my-secret-value", environ=ENVIRON).status == CONFIG


def test_paths_below_the_mount_point(config):
    assert get(config, f"{config.parent}/m/env/token").out == b"tok"


def test_missing_configuration(config):
    result = get(f"{config}.none", "{vault://env/token}")
    assert (result.status, result.out) == (CONFIG, b"")


@pytest.mark.parametrize("kib, size", [(8192, 1 << 20), (1024, 400_000), (64, 10_000), (4, None)])
def test_little_locked_memory(config, kib, size):
    """None: it is too little for anything."""
    large = (1 << 20) - 100
    write(config.parent / "files" / "much", "x" * (size or 1))
    write(config.parent / "files" / "large", "x" * large)
    limited = [f"--memlock={kib * 1024}", "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", BIN / "hushfs"]

    def get(what):
        return run(*limited, "get", "-c", config, what, program="prlimit")

    result = get("files/much")
    if size is None:
        assert result.status == FAILED and "RLIMIT_MEMLOCK is 4 KiB" in result.err, result
        return
    assert (result.status, result.out) == (DONE, b"x" * size), result
    result = get("files/large")
    assert result.out == (b"x" * large if kib == 8192 else b"")
    assert (result.status == DONE) == (kib == 8192) and ("RLIMIT_MEMLOCK" in result.err) == (kib != 8192), result


def test_full_disk(config):
    with open("/dev/full", "wb") as full:
        result = run("get", "-c", config, "env/token", environ=ENVIRON, stdout=full)
    assert result.status == FAILED
    assert "standard output" in result.err


@pytest.mark.parametrize(
    "what, options, expected",
    (
        ("env/token", [], b"tok\r\n"),
        ("env/token", ["-n"], b"tok"),
        ("files/db/password.txt", [], b"hunter2\r\n"),  # it has one
        ("env/empty", [], b"\r\n"),
    ),
)
def test_newline_only_on_a_terminal(config, what, options, expected):
    assert not get(config, "env/token").out.endswith(b"\n")
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BIN / "hushfs", ["hushfs", "get", *options, "-c", str(config), what], ENVIRON)
    found = b""
    try:
        while data := os.read(fd, 1000):
            found += data
    except OSError:  # EIO: the other end is closed
        pass
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == DONE
    assert found == expected
