# SPDX-License-Identifier: Apache-2.0
"""`hushfs` itself: help, usage, lists of options; and what `hushfs mount` hands to the keeper, shown by a
keeper that is a script."""

import json
import os
import shutil
import signal
import time

import pytest
from cli import BIN, CONFIG, DONE, FAILED, NOT_FOUND, USAGE, run, write

COMMANDS = ["mount", "umount", "check", "get", "status", "refresh", "reload", "providers"]


@pytest.mark.parametrize("word", ["--version", "version"])
def test_version(word):
    result = run(word)
    assert (result.status, result.err) == (DONE, "")
    assert result.out.startswith(b"hushfs ")
    assert run(word, "x").status == USAGE


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help(word):
    result = run(word)
    assert (result.status, result.err) == (DONE, "")
    assert all(f"\n  {command} ".encode() in result.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each(command):
    for arguments in [command, "--help"], ["help", command], ["--help", command]:
        result = run(*arguments)
        assert (result.status, result.err) == (DONE, "")
        assert result.out.startswith(f"usage: hushfs {command} ".encode())


def test_help_of_a_store_command():
    assert run("help", "store").out == run("store", "--help").out != b""
    assert run("help", "store", "put").out == run("store", "put", "--help").out != b""
    assert run("help", "nothing").status == run("help", "store", "nothing").status == USAGE


@pytest.mark.parametrize(
    "arguments",
    (
        [],
        ["mounted"],
        ["check", "-x"],
        ["check", "--nonsense"],
        ["check", "-c"],
        ["check", "--json=yes"],
        ["check", "-f"],
        ["check", "a", "b"],
        ["check", "--emit-fd", "x"],
        ["mount", "-l"],
        ["mount", "a", "b"],
        ["umount"],
        ["umount", "a", "b"],
        ["get"],
        ["get", "a/b", "c/d"],
        ["refresh"],
        ["reload", "a", "b"],
        ["providers", "--keys", "env"],
        ["status", "--dump"],
    ),
)
def test_usage(arguments):
    result = run(*arguments)
    assert (result.status, result.out) == (USAGE, b""), result
    assert "hushfs" in result.err


PROVIDERS = ["env", "file", "sealed", "vault"]


def test_providers():
    result = run("providers")
    assert [line.split()[0] for line in result.out.decode().splitlines()] == PROVIDERS
    assert [p["type"] for p in json.loads(run("providers", "--json").out)] == PROVIDERS
    result = run("providers", "vlaut")
    assert (result.status, result.out) == (NOT_FOUND, b"")
    assert "vlaut" in result.err


@pytest.mark.parametrize("kind", PROVIDERS)
def test_options_of_a_provider(kind):
    text = run("providers", kind).out.decode()
    options = json.loads(run("providers", kind, "--json").out)["options"]
    assert options
    for option in options:
        assert option["help"] in text
        assert ("required" in text) >= option["required"]


def test_keys():
    text = run("providers", "--keys").out.decode()
    keys = json.loads(run("providers", "--keys", "--json").out)
    assert {o["name"] for o in keys["mount"]} >= {"path", "user", "allow_other", "deadline", "open"}
    assert {o["name"] for o in keys["path"]} >= {"ttl", "neg_ttl", "resurrect_ttl", "as", "mode"}
    assert all(f"  {o['name']} " in text for group in keys.values() for o in group)


def test_what_is_no_mount(tmp_path):
    for command in "umount", "status", "reload":
        result = run(command, tmp_path)
        assert (result.status, result.out) == (NOT_FOUND, b"")
        assert f"'{tmp_path}' is not a hushfs mount" in result.err
    result = run("refresh", tmp_path / "x")
    assert result.status == NOT_FOUND
    assert "not below a hushfs mount" in result.err
    assert run("refresh", "-m", tmp_path, "x").status == NOT_FOUND
    for command in "umount", "status", "reload":
        assert run(command, tmp_path / "none").status == NOT_FOUND


# -- mount ------------------------------------------------------------------------------------------------

KEEPER = """\
#!/usr/bin/python3
import json, os, resource, sys
def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None
def text(fd):
    return os.pread(fd, 1 << 20, 0).decode("latin-1")
ready = option("--ready-fd")
config, env = int(option("--config-fd")), int(option("--env-fd"))
fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
seen = {
    "argv": sys.argv[1:], "config": text(config), "environ": dict(os.environ), "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    "fds": sorted(fd for fd in fds if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}")),
}
try:
    os.pwrite(config, b"x", 0)
    seen["sealed"] = False
except OSError:
    seen["sealed"] = True
json.dump(seen, open(os.environ["HOME"] + "/seen", "w"))
END
"""


class Start:
    """`hushfs mount` with a keeper that does what the script in its place says."""

    def __init__(self, path, end):
        self.path = path
        (path / "m").mkdir()
        shutil.copy(BIN / "hushfs", path / "hushfs")
        write(path / "hushfs-keeper", KEEPER.replace("END", end), 0o755)
        self.config = write(path / "c", f"[mount]\npath = {path}/m\nuser = 7\n[provider/e]\ntype = env\n")

    def mount(self, *arguments, config=None, **more):
        environ = {"HOME": str(self.path), "APP_CANARY": "canary-in-the-environment", "LANG": "C.UTF-8"}
        return run(
            "mount", "-c", config or self.config, *arguments,
            program=self.path / "hushfs", environ=environ, **more,
        )  # fmt: skip

    def seen(self):
        return json.loads((self.path / "seen").read_text())


def option(argv, name):
    return argv[argv.index(name) + 1] if name in argv else None


def test_mount_hands_over(tmp_path):
    start = Start(tmp_path, "os.write(int(ready), b'R')")
    result = start.mount()
    assert (result.status, result.out, result.err) == (DONE, b"", ""), result
    seen = start.seen()
    argv = seen["argv"]
    fds = [int(option(argv, name)) for name in ("--config-fd", "--env-fd", "--ready-fd")]
    assert seen["fds"] == sorted(fds)  # these, and nothing else
    assert seen["sealed"]
    assert seen["core"] == 0
    assert option(argv, "--config") == str(start.config)
    assert option(argv, "--user") == "7"
    assert argv[-2:] == ["--", f"{tmp_path}/m"]
    assert seen["config"].encode() == run("check", "-c", start.config, "--dump").out
    assert "canary" not in json.dumps(seen)  # neither in argv nor in the environment
    assert seen["environ"]["LANG"] == "C.UTF-8"
    for absent in "--log", "--foreground", "--no-allow-other", "--memory", "--options":
        assert absent not in argv


def test_mount_hands_over_options(tmp_path):
    start = Start(tmp_path, "os.write(int(ready), b'R')")
    (tmp_path / "other dir").mkdir()
    options = "ro,nofail,memory=2M,deadline=3,user=8,allow_other=no"
    result = start.mount("-o", options, "--log", "log", "m/..//./other dir/", config="c", cwd=tmp_path)
    assert (result.status, result.err) == (DONE, ""), result
    argv = start.seen()["argv"]
    assert option(argv, "--config") == f"{tmp_path}/c"  # absolute: the keeper goes elsewhere
    assert option(argv, "--log") == f"{tmp_path}/log"
    assert option(argv, "--memory") == str(2 << 20)
    assert option(argv, "--user") == "8"
    assert option(argv, "--options") == options
    assert "--no-allow-other" in argv
    assert argv[-1] == f"{tmp_path}/other dir"  # as mountinfo will have it
    assert f"path = {tmp_path}/other dir\n" in start.seen()["config"]
    assert "deadline = 3s\n" in start.seen()["config"]


def test_mount_in_the_foreground_becomes_the_keeper(tmp_path):
    start = Start(tmp_path, "sys.exit(42)")
    result = start.mount("-f")
    assert result.status == 42, result
    argv = start.seen()["argv"]
    assert "--foreground" in argv
    assert "--ready-fd" not in argv


def test_mount_follows_links_above_its_place(tmp_path):
    start = Start(tmp_path, "os.write(int(ready), b'R')")
    (tmp_path / "link").symlink_to(".")
    assert start.mount(tmp_path / "link" / "m").status == DONE
    assert start.seen()["argv"][-1] == f"{tmp_path}/m"  # as mountinfo will have it
    (tmp_path / "m").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "m").symlink_to("elsewhere")
    assert start.mount(tmp_path / "m").status == DONE
    assert start.seen()["argv"][-1] == f"{tmp_path}/m"  # which the keeper refuses: test_keeper.py


def test_mount_hands_no_descriptors_on(tmp_path):
    start = Start(tmp_path, "os.write(int(ready), b'R')")
    with open("/etc/passwd", "rb") as leaked:
        assert start.mount(pass_fds=[leaked.fileno()]).status == DONE
    assert len(start.seen()["fds"]) == 3


@pytest.mark.parametrize(
    "end, status, word",
    (
        ("os.write(int(ready), b'E1 it is not to be\\n')", FAILED, "hushfs: it is not to be\n"),
        ("os.write(int(ready), b'E3 user x does not exist\\n')", CONFIG, "hushfs: user x does not exist\n"),
        ("os.write(int(ready), b'E no number')", FAILED, "hushfs: no number\n"),
        ("os.write(int(ready), b'E1 in'); os.write(int(ready), b' two\\n')", FAILED, "hushfs: in two\n"),
        ("sys.exit(9)", FAILED, "the keeper ended with status 9"),
        ("os.kill(os.getpid(), 9)", FAILED, "signal 9"),
    ),
)
def test_mount_fails_with_the_keeper(tmp_path, end, status, word):
    result = Start(tmp_path, end).mount()
    assert (result.status, result.out) == (status, b""), result
    assert word in result.err


def test_mount_does_not_wait_for_the_keeper_to_end(tmp_path):
    start = Start(
        tmp_path,
        f"import time; open('{tmp_path}/pid', 'w').write(str(os.getpid())); os.close(1); os.close(2)\n"
        "os.write(int(ready), b'R'); time.sleep(50)",
    )
    try:
        begin = time.monotonic()
        assert start.mount().status == DONE
        assert time.monotonic() - begin < 20
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_mount_without_a_keeper(tmp_path):
    start = Start(tmp_path, "")
    (tmp_path / "hushfs-keeper").unlink()
    result = start.mount()
    assert result.status == FAILED
    assert "hushfs-keeper" in result.err


def test_log_below_the_mount(tmp_path):
    result = Start(tmp_path, "").mount("--log", tmp_path / "m" / "log")
    assert result.status == USAGE
    assert "below the mount" in result.err
