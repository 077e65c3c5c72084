# SPDX-License-Identifier: Apache-2.0
"""Broken configurations: each is refused with status 3, nothing on standard output, and a message that has
file, line and the word that matters. Good ones are accepted, and what is dumped reads back the same."""

import json
import os
import pwd

import pytest
from cli import CONFIG, DONE, FAILED, USAGE, run, write

GOOD = "[provider/e]\ntype = env\n"
FILE = "[provider/f]\ntype = file\nroot = /etc\n"

# name: (text, line or None for the file as a whole, words of the message)
BROKEN = {
    "empty": ("", None, "[provider/NAME]"),
    "only comments": ("# nothing\n; at all\n", None, "[provider/NAME]"),
    "no instances": ("[mount]\npath = /m\n", None, "nothing to show"),
    "unknown section": (GOOD + "[nonsense]\n", 3, "unknown section [nonsense]"),
    "section in capitals": (GOOD + "[MOUNT]\n", 3, "unknown section [MOUNT]"),
    "a section for later": (GOOD + "[group/web]\n", 3, "unknown section [group/web]"),
    "another section for later": (GOOD + "[hook/nginx]\n", 3, "unknown section [hook/nginx]"),
    "provider without a name": (GOOD + "[provider]\n", 3, "unknown section [provider]"),
    "unknown key of mount": (GOOD + "[mount]\nmount_point = /m\n", 4, "unknown key 'mount_point'", "--keys"),
    "unknown key of an instance": (GOOD + "tll = 5\n", 3, "unknown key 'tll'"),
    "unknown key of a path": (GOOD + "[path/e/a]\ntype = env\n", 4, "unknown key 'type'"),
    "key of another type": (GOOD + "root = /etc\n", 3, "unknown key 'root'"),
    "key in capitals": (GOOD + "TTL = 5\n", 3, "unknown key 'TTL'"),
    "duplicate key": (GOOD + "ttl = 5\nmode = 0400\nttl = 5\n", 5, "duplicate key 'ttl'", "line 3"),
    "duplicate section": (GOOD + "[mount]\n[mount]\n", 4, "duplicate section [mount]", "line 3"),
    "duplicate instance": (GOOD + GOOD, 3, "duplicate section [provider/e]", "line 1"),
    "duplicate path": (GOOD + "[path/e/a]\n" * 2, 4, "duplicate section [path/e/a]"),
    "missing type": ("[provider/e]\nttl = 5\n", 1, "'type' is missing", "env", "file"),
    "unknown type": ("[provider/e]\ntype = vlaut\n", 2, "unknown type", "env", "file"),
    "type in capitals": ("[provider/e]\ntype = ENV\n", 2, "unknown type"),
    "missing option": ("[provider/f]\ntype = file\n", 1, "'root' is missing"),
    "options that need another": ("[provider/v]\ntype = vault\nauth_method = userpass\n", 1, "userpass_username"),
    "instance in capitals": ("[provider/Prod]\ntype = env\n", 1, "[provider/Prod]", "a-z"),
    "instance that begins with a dot": ("[provider/.x]\ntype = env\n", 1, "begins with a letter"),
    "instance with a slash": ("[provider/a/b]\ntype = env\n", 1, "instance's name"),
    "instance called as our own": ("[provider/.hushfs]\ntype = env\n", 1, ".hushfs"),
    "instance with a space": ("[provider/a b]\ntype = env\n", 1, "instance's name"),
    "instance without a name": ("[provider/]\ntype = env\n", 1, "instance's name"),
    "long instance": (f"[provider/{'a' * 256}]\ntype = env\n", 1, "255"),
    "not a duration": (GOOD + "ttl = soon\n", 3, "'ttl'", "duration"),
    "negative duration": (GOOD + "ttl = -5\n", 3, "'ttl'", "duration"),
    "duration that is too long": (GOOD + "ttl = 50d\n", 3, "'ttl'", "49d"),
    "no value": (GOOD + "ttl =\n", 3, "'ttl'"),
    "value with a comment": (GOOD + "ttl = 5 # seconds\n", 3, "'ttl'"),
    "not octal": (GOOD + "mode = 0689\n", 3, "'mode'", "octal"),
    "set-user-id": (GOOD + "mode = 4755\n", 3, "'mode'", "0777"),
    "not a number": (GOOD + "concurrency = many\n", 3, "'concurrency'"),
    "no concurrency": (GOOD + "concurrency = 0\n", 3, "'concurrency'", "1 to 256"),
    "too much concurrency": (GOOD + "concurrency = 257\n", 3, "'concurrency'", "1 to 256"),
    "no timeout": (GOOD + "timeout = 0\n", 3, "'timeout'"),
    "not yes or no": (GOOD + "prefetch = maybe\n", 3, "'prefetch'", "yes or no"),
    "not a choice": (GOOD + "as = dir\n", 3, "'as'", "file, directory"),
    "no such user": (GOOD + "owner = no-such-user\n", 3, "'owner'", "user"),
    "no such group": (GOOD + "group = no-such-group\n", 3, "'group'", "group"),
    "directories without rights for us": (GOOD + "dir_mode = 0555\n", 3, "'dir_mode'", "7"),
    "no such serving user": (GOOD + "[mount]\nuser = no-such-user\n", 4, "'user'", "user of this system"),
    "no serving user": (GOOD + "[mount]\nuser =\n", 4, "'user'"),
    "allow_other that is no answer": (GOOD + "[mount]\nallow_other = root\n", 4, "'allow_other'", "yes or no"),
    "no deadline": (GOOD + "[mount]\ndeadline = 0\n", 4, "'deadline'", "more than 0"),
    "long deadline": (GOOD + "[mount]\ndeadline = 11s\n", 4, "'deadline'", "10s"),
    "little memory": (GOOD + "[mount]\nmemory = 4k\n", 4, "'memory'", "1M"),
    "root as the serving user": (GOOD + "[mount]\nuser = root\n", 4, "'user'", "must not be root"),
    "root by its number": (GOOD + "[mount]\nuser = 0\n", 4, "'user'", "must not be root"),
    "more memory than there is": (GOOD + "[mount]\nmemory = 99999G\n", 4, "'memory'", "this machine has"),
    "open in no way": (GOOD + "[mount]\nopen = always\n", 4, "'open'", "checked, kernel"),
    "no page cache where the kernel opens": (
        GOOD + "[path/e/a]\npage_cache = no\n[mount]\nopen = kernel\n", 4, "'page_cache'", "open = kernel",
    ),
    "relative mount point": (GOOD + "[mount]\npath = run/secrets\n", 4, "'path'", "absolute"),
    "mount at the root": (GOOD + "[mount]\npath = /\n", 4, "'path'", "root directory"),
    "relative root": ("[provider/f]\ntype = file\nroot = etc\n", 3, "'root'", "absolute"),
    "root below the mount": (FILE + "[mount]\npath = /etc\n", 3, "'root'", "below the mount"),
    "root deep below the mount": (
        "[provider/f]\ntype = file\nroot = /m/a/../b//c\n[mount]\npath = /m/\n", 3, "'root'", "below the mount",
    ),
    "glob without a slash": (GOOD + "[path/e]\n", 3, "bad glob", "INSTANCE/REST"),
    "glob with an empty part": (GOOD + "[path/e//a]\n", 3, "bad glob"),
    "glob that ends with a slash": (GOOD + "[path/e/a/]\n", 3, "bad glob"),
    "glob with three stars": (GOOD + "[path/e/***]\n", 3, "bad glob"),
    "glob with dots": (GOOD + "[path/e/../a]\n", 3, "bad glob"),
    "glob with an unescaped name": (GOOD + "[path/e/100%]\n", 3, "bad glob"),
    "path of no instance": (GOOD + "[path/other/*]\n", 3, "there is no [provider/other]"),
    "param without a name": (GOOD + "[path/e/a]\nparam. = x\n", 4, "unknown key 'param.'"),
    "key and passphrase": (
        "[provider/s]\ntype = sealed\nstore = /s\nkey_file = /k\npassphrase_file = /p\n", 1, "give one",
    ),
    "comment behind a value": (GOOD + "ttl = 60 # one minute\n", 3, "'ttl'", "a line of its own"),
    "key before any section": ("ttl = 5\n" + GOOD, 1, "[SECTION]"),
    "line without a value": (GOOD + "prefetch\n", 3, "KEY = VALUE"),
    "value without a key": (GOOD + "= yes\n", 3, "key"),
    "key with a space": (GOOD + "neg ttl = 5\n", 3, "key"),
    "continued line": (GOOD + "prefix = a \\\n  b\n", 4, "KEY = VALUE"),
    "section that is not closed": (GOOD + "[mount\npath = /m\n", 3, "[NAME]"),
    "section without a name": (GOOD + "[]\n", 3, "[NAME]"),
    "text behind a section": (GOOD + "[mount] path = /m\n", 3, "[NAME]"),
    "NUL": (GOOD.encode() + b"prefix = a\0b\n", 3, "NUL"),
    "UTF-16": (GOOD.encode("utf-16-le"), 1, "NUL"),
    "Latin-1": (GOOD.encode() + b"prefix = caf\xe9\n", 3, "UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), 1, "byte order mark"),
    "control character": (GOOD + "prefix = \x1b[2J\n", 3, "control character"),
    "long line": (GOOD + f"prefix = {'x' * 65536}\n", 3, "64 KiB"),
    "large file": (GOOD + "# comment\n" * 110000, None, "1 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken(tmp_path, name):
    text, line, *words = BROKEN[name]
    file = write(tmp_path / "hushfs.conf", text)
    result = run("check", "-c", file)
    assert result.status == CONFIG, result
    assert result.out == b"", result
    begin = f"{file}: " if line is None else f"{file}:{line}: "
    told = [text for text in result.err.splitlines() if text.startswith(begin)]
    assert told, result
    for word in words:
        assert any(word in text for text in told), (word, result)


def test_there_are_enough():
    assert len(BROKEN) >= 40


@pytest.mark.parametrize("command", (["mount"], ["get", "e/a"], ["check", "--dump"]))
def test_every_command_refuses_it(tmp_path, command):
    file = write(tmp_path / "hushfs.conf", GOOD + "bad = 1\n")
    result = run(command[0], "-c", file, *command[1:])
    assert (result.status, result.out) == (CONFIG, b""), result
    assert result.err == f"{file}:3: [provider/e]: unknown key 'bad': see `hushfs providers env`\n"


def test_all_errors_at_once(tmp_path):
    file = write(tmp_path / "c", "[provider/e]\ntype = env\nttl = x\noops\n[path/e/a]\nmode = 9\n[zzz]\n")
    result = run("check", "-c", file)
    assert [line.split(": ")[0] for line in result.err.splitlines()] == [f"{file}:{n}" for n in (3, 4, 6, 7)]


def test_errors_as_json(tmp_path):
    file = write(tmp_path / "c", GOOD + "ttl = x\n")
    result = run("check", "-c", file, "--json")
    answer = json.loads(result.out)
    assert result.status == CONFIG
    assert answer["good"] is False
    assert [(e["file"], e["line"]) for e in answer["errors"]] == [(str(file), 3)]
    assert "'ttl'" in answer["errors"][0]["text"]


def test_a_wrong_command_line_as_json(tmp_path):
    """What is printed is JSON, whatever is wrong."""
    file = write(tmp_path / "c", GOOD)
    for arguments, status, where, word in (
        (["-o", "foo=1"], USAGE, "-o foo", "no such option"),
        (["-o", "rw"], USAGE, "-o rw", "read-only"),
        ([tmp_path / "none/m"], FAILED, f"{tmp_path}/none/m", "No such file"),
    ):
        result = run("check", "-c", file, "--json", *arguments)
        answer = json.loads(result.out)
        assert (result.status, result.err, answer["good"]) == (status, "", False), result
        assert [(e["file"], e["line"]) for e in answer["errors"]] == [(where, 0)]
        assert word in answer["errors"][0]["text"]
        told = run("check", "-c", file, *arguments)
        assert (told.status, told.out) == (status, b"")
        assert told.err == f"hushfs: {where}: {answer['errors'][0]['text']}\n"


FIELD_KEYS = "[path/e/db]\nas = directory\n[path/e/db/key]\nmode = 0400\nttl = 5\n[path/e/x/key]\nttl = 5\n"


def test_a_key_that_a_field_cannot_have_is_a_warning(tmp_path):
    """It may be a secret below the name, too: then it has one."""
    file = write(tmp_path / "c", GOOD + FIELD_KEYS)
    result = run("check", "-c", file, "-o", "user=65534")
    assert result.status == DONE and b"good" in result.out
    assert result.err.startswith(f"{file}:5: warning: [path/e/db/key]: if it is a field of 'e/db', 'ttl' does nothing")
    assert len(result.err.splitlines()) == 1
    answer = json.loads(run("check", "-c", file, "--json", "-o", "user=65534").out)
    assert answer["good"] is True and answer["errors"] == []
    assert [(w["file"], w["line"]) for w in answer["warnings"]] == [(str(file), 5)]
    assert json.loads(run("check", "-c", write(tmp_path / "d", GOOD), "--json", "-o", "user=65534").out)["warnings"] == []


# -- Warnings -------------------------------------------------------------------------------------------

VAULT = "[mount]\nuser = 65534\n[provider/v]\ntype = vault\n"

# name: (text, line, what is told)
DUBIOUS = {
    "option of another method": (
        VAULT + "url = https://a\napprole_role_id = x\n", 6, "'approle_role_id' has no effect with auth_method = token",
    ),
    "authorities without TLS": (
        VAULT + "ca_file = /ca\nurl = http://127.0.0.1:1\n", 5, "'ca_file' has no effect: the server is asked by http",
    ),
    "no certificate": (
        VAULT + "url = https://a\nauth_method = cert\n", 6,
        "auth_method = cert needs cert_auth_cert, or $BAO_CLIENT_CERT or $VAULT_CLIENT_CERT where it is mounted",
    ),
    "a key alone": (
        VAULT + "url = https://a\ncert_auth_cert_key = /k\n", 6,
        "'cert_auth_cert_key' needs cert_auth_cert, or $BAO_CLIENT_CERT or $VAULT_CLIENT_CERT where it is mounted",
    ),
    "a credential by its name": (
        VAULT + "url = https://a\ncert_auth_cert = name\n", 6,
        "'cert_auth_cert' is the name of a systemd credential: the mount needs $CREDENTIALS_DIRECTORY",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DUBIOUS)
def test_dubious(tmp_path, name):
    text, line, told = DUBIOUS[name]
    file = write(tmp_path / "c", text)
    result = run("check", "-c", file)
    assert (result.status, result.err) == (DONE, f"{file}:{line}: warning: [provider/v]: {told}\n"), result
    assert b": good: " in result.out
    answer = json.loads(run("check", "-c", file, "--json").out)
    assert (answer["good"], answer["errors"]) == (True, [])
    assert answer["warnings"] == [{"file": str(file), "line": line, "text": f"[provider/v]: {told}"}]
    with open(tmp_path / "out", "wb") as out:  # as the keeper asks
        assert run("check", "-c", file, "--emit-fd", out.fileno(), pass_fds=[out.fileno()]).err == ""


def test_errors_come_without_warnings(tmp_path):
    text = DUBIOUS["a key alone"][0] + "oops = 1\n"
    file = write(tmp_path / "c", text)
    assert "warning" not in run("check", "-c", file).err
    answer = json.loads(run("check", "-c", file, "--json").out)
    assert (answer["good"], len(answer["errors"]), answer["warnings"]) == (False, 1, [])


def test_the_default_user_is_missing(tmp_path):
    file = write(tmp_path / "c", GOOD)
    missing = "hushfs" not in [entry.pw_name for entry in pwd.getpwall()]
    told = f"{file}: warning: [mount]: there is no user 'hushfs' here, as whom a mount is served: make it, or set 'user'\n"
    assert run("check", "-c", file).err == (told if missing else "")
    assert run("check", "-c", file, "-o", "user=65534").err == ""
    assert run("check", "-c", file, "-o", "user=root").status == CONFIG


# -- Files ----------------------------------------------------------------------------------------------


def refused(file, *words):
    result = run("check", "-c", file)
    assert (result.status, result.out) == (CONFIG, b""), result
    assert all(word in result.err for word in words), result


def test_missing_file(tmp_path):
    refused(tmp_path / "none.conf", f"{tmp_path}/none.conf: No such file or directory")


def test_without_any_it_says_what_to_do():
    if os.path.exists("/etc/hushfs/hushfs.conf"):
        pytest.skip("this machine has a configuration")
    for command in (("check",), ("mount",), ("get", "a/b")):
        result = run(*command)
        assert result.status == CONFIG
        assert "/etc/hushfs/hushfs.conf: No such file or directory (-c FILE" in result.err, result


def test_missing_directory(tmp_path):
    refused(tmp_path / "none" / "c", f"{tmp_path}/none/c: No such file or directory")


def test_directory(tmp_path):
    refused(tmp_path, f"{tmp_path}: it is a directory")


@pytest.mark.parametrize("mode", (0o664, 0o646, 0o666))
def test_writable_by_others(tmp_path, mode):
    refused(write(tmp_path / "c", GOOD, mode), f"{tmp_path}/c: ", "chmod go-w")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owned_by_another(tmp_path):
    file = write(tmp_path / "c", GOOD)
    os.chown(file, 65534, -1)
    refused(file, f"{file}: ", "belongs to another user")


def test_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "c", 0o644)
    refused(tmp_path / "c", "no regular file")


def test_part_with_an_error(tmp_path):
    file = write(tmp_path / "hushfs.conf", GOOD)
    part = write(tmp_path / "conf.d" / "50-web.conf", "[path/e/a]\ngroup = no-such-group\n")
    refused(file, f"{part}:2: [path/e/a]: 'group'")


def test_part_with_a_duplicate(tmp_path):
    file = write(tmp_path / "hushfs.conf", GOOD)
    part = write(tmp_path / "conf.d" / "x.conf", "\n" + GOOD)
    refused(file, f"{part}:2: duplicate section [provider/e]", f"{file}, line 1")


def test_part_that_others_can_write(tmp_path):
    file = write(tmp_path / "hushfs.conf", GOOD)
    part = write(tmp_path / "conf.d" / "x.conf", "", 0o666)
    refused(file, f"{part}: ", "chmod go-w")


def test_file_below_the_mount(tmp_path):
    file = write(tmp_path / "c", GOOD + f"[mount]\npath = {tmp_path}\n")
    refused(file, f"{file}: it must not be below the mount")


def test_link_below_the_mount(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "link").symlink_to("m")
    file = write(
        tmp_path / "c", f"[mount]\npath = {tmp_path}/m\n[provider/f]\ntype = file\nroot = {tmp_path}/link/x\n"
    )
    refused(file, f"{file}:5: [provider/f]: 'root' must not be below the mount")


# -- The command line -----------------------------------------------------------------------------------


def test_mount_needs_a_path(tmp_path):
    file = write(tmp_path / "c", GOOD)
    result = run("mount", "-c", file)
    assert (result.status, result.out) == (CONFIG, b"")
    assert f"{file}: [mount]: 'path' is missing, and no MOUNTPOINT was given" in result.err


def test_mount_point_must_exist(tmp_path):
    file = write(tmp_path / "c", GOOD + "[mount]\nuser = daemon\n")
    result = run("mount", "-c", file, tmp_path / "none")
    assert result.status == FAILED
    assert f"{tmp_path}/none" in result.err


@pytest.mark.parametrize(
    "option, status, word",
    (
        ("rw", USAGE, "read-only"),
        ("suid", USAGE, "suid"),
        ("deadline", USAGE, "deadline"),
        ("ttl=5", USAGE, "ttl"),
        ("deadline=11", CONFIG, "10s"),
        ("user=no-such-user", CONFIG, "user of this system"),
        ("open=sometimes", CONFIG, "checked, kernel"),
        ("allow_other=perhaps", CONFIG, "yes or no"),
    ),
)
def test_bad_options(tmp_path, option, status, word):
    file = write(tmp_path / "c", GOOD)
    for command in "mount", "check":
        result = run(command, "-c", file, "-o", f"ro,{option},nofail", tmp_path)
        assert (result.status, result.out) == (status, b""), result
        assert word in result.err


def test_roots_are_checked_against_the_mount_point_given(tmp_path):
    (tmp_path / "m").mkdir()
    file = write(tmp_path / "c", f"[mount]\npath = /n\n[provider/f]\ntype = file\nroot = {tmp_path}/m/a\n")
    assert run("check", "-c", file).status == DONE
    result = run("check", "-c", file, tmp_path / "m")
    assert result.status == CONFIG
    assert f"{file}:5: [provider/f]: 'root' must not be below the mount, which is {tmp_path}/m" in result.err


# -- Good ones ------------------------------------------------------------------------------------------

FULL = """\
# everything
[mount]
path = /run/secrets
user = 65534
allow_other = yes
owner = root
group = root
mode = 0751
deadline = 2500ms
open = checked
memory = 8M

[provider/files]
type = file
root = /etc/ssl
ttl = 90
neg_ttl = 0
resurrect_ttl = 2h
as = directory
base64_decode = yes
concurrency = 8
timeout = 3
prefetch = yes
page_cache = no
[provider/env]
  type = env
  prefix = MY_APP#;=_
[path/files/private/**]
group = daemon
mode = 0440
[path/**]
ttl = 1m
param.ttl = 15m
"""


def test_good(tmp_path):
    file = write(tmp_path / "c", FULL)
    result = run("check", "-c", file)
    assert (result.status, result.err) == (DONE, ""), result
    assert result.out == f"{file}: good: 2 providers, 2 path rules\n".encode()


def test_dump_reads_back(tmp_path):
    file = write(tmp_path / "c", FULL)
    first = run("check", "-c", file, "--dump")
    assert (first.status, first.err) == (DONE, ""), first
    for line in "prefix = MY_APP#;=_", "ttl = 90s", "deadline = 2500ms", "param.ttl = 15m", "mode = 0440":
        assert f"{line}\n".encode() in first.out
    again = run("check", "-c", write(tmp_path / "d", first.out), "--dump")
    assert again.out == first.out


def test_dump_as_json(tmp_path):
    answer = json.loads(run("check", "-c", write(tmp_path / "c", FULL), "--dump", "--json").out)
    assert answer["good"] is True
    assert answer["errors"] == []
    assert answer["mount"]["path"] == "/run/secrets"
    assert [p["name"] for p in answer["providers"]] == ["env", "files"]
    assert answer["providers"][1]["root"] == "/etc/ssl"
    assert [p["glob"] for p in answer["paths"]] == ["**", "files/private/**"]
    assert answer["paths"][0]["params"] == {"ttl": "15m"}
    assert "mode" not in answer["paths"][0]


def test_options_are_in_force(tmp_path):
    (tmp_path / "m").mkdir()
    file = write(tmp_path / "c", FULL)
    options = "ro,noauto,nofail,_netdev,defaults,x-systemd.automount,deadline=7,open=kernel,user=7,allow_other"
    file = write(tmp_path / "c", FULL.replace("page_cache = no\n", ""))
    dump = run("check", "-c", file, "--dump", "-o", options, tmp_path / "m").out.decode()
    for line in f"path = {tmp_path}/m", "deadline = 7s", "open = kernel", "user = 7", "allow_other = yes":
        assert f"{line}\n" in dump


def test_emit(tmp_path):
    file = write(tmp_path / "c", FULL)
    with open(tmp_path / "out", "wb") as out:
        result = run("check", "-c", file, "--emit-fd", out.fileno(), pass_fds=[out.fileno()])
    assert (result.status, result.out, result.err) == (DONE, b"", "")
    assert (tmp_path / "out").read_bytes() == run("check", "-c", file, "--dump").out
    with open(tmp_path / "out", "wb") as out:
        bad = write(tmp_path / "bad", FULL + "x\n")
        result = run("check", "-c", bad, "--emit-fd", out.fileno(), pass_fds=[out.fileno()])
    assert result.status == CONFIG
    assert (tmp_path / "out").read_bytes() == b""


def test_full_disk(tmp_path):
    file = write(tmp_path / "c", FULL)
    for more in [], ["--dump"], ["--json"]:
        with open("/dev/full", "wb") as full:
            result = run("check", "-c", file, *more, stdout=full)
        assert result.status == FAILED
        assert "standard output" in result.err
