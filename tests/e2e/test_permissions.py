# SPDX-License-Identifier: Apache-2.0
"""Who may read what: owner, group and mode, by instance and by rule, for every kind of caller; and a
tightened rule acts at once."""

import ctypes
import os
import shutil
import subprocess

import harness
import pytest
from harness import ADM, DAEMON, NOBODY, WWW, libc, outcome, require, run_as
from test_takeover import expect_deaths

SECRET = b"value of the secret"


def reader(path):
    return lambda: harness.read(path) == SECRET or pytest.fail("wrong bytes")


def as_setfsuid(path, uid):
    """Root that reads as somebody else, as a careful setuid program does."""

    def attempt():
        libc.setfsgid(uid)
        libc.setfsuid(uid)
        assert libc.setfsuid(ctypes.c_uint32(-1)) == uid
        return reader(path)()

    return run_as(0, 0, [], attempt)


def as_setuid_program(path, uid):
    """A setuid-root cat, run by uid."""
    program = harness.cache_dir() / "setuid-cat"
    if not program.exists():
        shutil.copy(require("cat"), program)
        os.chown(program, 0, 0)
        program.chmod(0o4755)
    status = os.statvfs(program)
    if status.f_flag & os.ST_NOSUID:
        harness.missing("a temporary directory without nosuid")

    def attempt():
        done = subprocess.run([program, path], capture_output=True)
        if done.returncode:
            raise PermissionError(13, done.stderr.decode())
        assert done.stdout == SECRET

    return run_as(uid, uid, [], attempt)


def as_namespace_root(path, uid):
    """"Root" of a user namespace that uid made."""
    unshare = require("unshare")

    def attempt():
        done = subprocess.run([unshare, "-Ur", "cat", path], capture_output=True)
        if b"unshare" in done.stderr:
            pytest.skip("user namespaces are not allowed here")
        if done.returncode:
            raise PermissionError(13, done.stderr.decode())
        assert done.stdout == SECRET

    return run_as(uid, uid, [], attempt)


CALLERS = {
    # caller: (how, mode 0400, 0640, 0604, 0644) of a file www-data:adm
    "owner": (lambda p: run_as(WWW, WWW, [], reader(p)), "ok", "ok", "ok", "ok"),
    "primary group": (lambda p: run_as(NOBODY, ADM, [], reader(p)), "EACCES", "ok", "EACCES", "ok"),
    "supplementary group": (lambda p: run_as(NOBODY, NOBODY, [ADM], reader(p)), "EACCES", "ok", "EACCES", "ok"),
    "other": (lambda p: run_as(NOBODY, NOBODY, [], reader(p)), "EACCES", "EACCES", "ok", "ok"),
    "worker's user": (lambda p: run_as(DAEMON, DAEMON, [], reader(p)), "EACCES", "EACCES", "ok", "ok"),
    "root": (lambda p: run_as(0, 0, [], reader(p)), "ok", "ok", "ok", "ok"),
    "root without capabilities": (lambda p: run_as(0, 0, [], reader(p), False), "EACCES", "EACCES", "ok", "ok"),
    "root as nobody (setfsuid)": (lambda p: as_setfsuid(p, NOBODY), "EACCES", "EACCES", "ok", "ok"),
    "setuid root, by nobody": (lambda p: as_setuid_program(p, NOBODY), "ok", "ok", "ok", "ok"),
    "namespace root, by nobody": (lambda p: as_namespace_root(p, NOBODY), "EACCES", "EACCES", "ok", "ok"),
    "namespace root, by the owner": (lambda p: as_namespace_root(p, WWW), "ok", "ok", "ok", "ok"),
}
MODES = ("0400", "0640", "0604", "0644")


@pytest.fixture(scope="module")
def table(module_mount, open_mode):
    """m0400/secret … each with its mode by a rule; the owner is the instance's."""
    return module_mount(
        files={f"m{mode}/{temperature}": SECRET for mode in MODES for temperature in ("warm", "cold")},
        mount_options={"open": open_mode},
        options={"owner": "www-data", "group": "adm"},
        sections={f"path/s/m{mode}/*": {"mode": mode} for mode in MODES},
    )


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("mode", MODES)
def test_who_may_read(table, mode, caller):
    how, *expected = CALLERS[caller]
    wanted = expected[MODES.index(mode)]
    path = table / f"m{mode}/warm"
    assert harness.read(path) == SECRET  # root was here: everything is cached
    assert outcome(lambda: how(path)) == wanted
    if wanted == "ok":
        return
    # And where nobody was before. Each caller is refused; none changes that for the next.
    assert outcome(lambda: how(table / f"m{mode}/cold")) == wanted


def test_attributes_are_the_same_for_all(table):
    """stat(2) tells each caller the same."""
    for mode in MODES:
        path = table / f"m{mode}/warm"
        seen = [
            run_as(uid, uid, [], lambda: tuple(os.stat(path))[:7]) for uid in (0, WWW, NOBODY, DAEMON)
        ]
        assert len(set(seen)) == 1
        assert f"{seen[0][0] & 0o7777:04o}" == mode and seen[0][4:6] == (WWW, ADM)


def test_rules_by_glob(mount):
    """The most specific rule wins, key by key."""
    m = mount(
        files={n: SECRET for n in ("plain", "tls/key", "tls/site/key", "tls/site/cert", "other/key")},
        options={"mode": "0600", "group": "adm"},
        sections={
            "path/s/tls/**": {"group": "www-data", "mode": "0640"},
            "path/s/tls/*/cert": {"mode": "0444"},
            "path/s/tls/site/key": {"owner": "nobody"},
            "path/s/*/key": {"mode": "0440"},
        },
    )

    def shown(name):
        st = os.stat(m / name)
        return f"{st.st_mode & 0o7777:04o} {st.st_uid}:{st.st_gid}"

    assert shown("plain") == f"0600 0:{ADM}"
    assert shown("tls/key") == f"0640 0:{WWW}"
    assert shown("tls/site/key") == f"0640 {NOBODY}:{WWW}"
    assert shown("tls/site/cert") == f"0444 0:{WWW}"
    assert shown("other/key") == f"0440 0:{ADM}"
    assert outcome(lambda: run_as(WWW, WWW, [], reader(m / "tls/key"))) == "ok"
    assert outcome(lambda: run_as(WWW, WWW, [], reader(m / "other/key"))) == "EACCES"


def test_directories(mount):
    """Of the worker's user, who alone may write; group and others as configured."""
    m = mount(
        files={"dir/open": SECRET, "closed/secret": SECRET},
        options={"mode": "0444", "dir_mode": "0751"},
        sections={"path/s/closed": {"dir_mode": "0750", "group": "www-data"}},
    )
    st = os.stat(m / "dir")
    assert (st.st_mode & 0o7777, st.st_uid) == (0o751, DAEMON)
    st = os.stat(m / "closed")
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o750, DAEMON, WWW)
    assert outcome(lambda: harness.as_nobody(reader(m / "dir/open"))) == "ok"
    assert outcome(lambda: harness.as_nobody(lambda: os.listdir(m / "dir"))) == "EACCES"
    assert outcome(lambda: harness.as_nobody(reader(m / "closed/secret"))) == "EACCES"
    assert outcome(lambda: run_as(WWW, WWW, [], reader(m / "closed/secret"))) == "ok"
    for uid in (0, DAEMON):
        assert outcome(lambda: run_as(uid, uid, [], lambda: os.unlink(m / "dir/open"))) == "EROFS"
        assert outcome(lambda: run_as(uid, uid, [], lambda: os.rename(m / "dir/open", m / "dir/x"))) == "EROFS"


# -- Several names for the same bytes ----------------------------------------------------------------------

TLS = b'{"certificate":"c","key":"k","chain":"h"}'
VALUES = {"certificate": b"c", "key": b"k", "chain": b"h", ".json": TLS}
FIELD_RULES = {
    "path/s/*/key": {"mode": "0400", "group": "root"},
    "path/s/*/certificate": {"mode": "0444"},
}
READERS = {
    "root": lambda f: run_as(0, 0, [], f),
    "group": lambda f: run_as(NOBODY, WWW, [], f),
    "other": lambda f: run_as(NOBODY, NOBODY, [], f),
}
MAY = {
    # in the secret: root, the group of the secret, any other
    "certificate": ("ok", "ok", "ok"),
    "chain": ("ok", "ok", "EACCES"),
    "key": ("ok", "EACCES", "EACCES"),
    ".json": ("ok", "EACCES", "EACCES"),  # the key is in it
}
CASES = [(field, who, tail) for field in MAY for who in READERS for tail in ("", "#1")]


def cold_name(case):
    return f"cold{CASES.index(case)}"


@pytest.fixture(scope="module")
def tls(module_mount, open_mode):
    """A secret that all read, and for each case one that nobody read before; all in a version 1, too."""
    names = ["warm", *map(cold_name, CASES)]
    return module_mount(
        provider="test",
        files={n + tail: data for n in names for tail, data in (("", TLS), (".fields", b""), (".versions/1", TLS))},
        mount_options={"open": open_mode},
        options={"as": "directory", "group": "www-data", "mode": "0440"},
        sections=FIELD_RULES,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1]}-{c[2] or 'newest'}")
def test_who_may_read_a_field(tls, case):
    """hushfs.conf(5): a field of a secret is matched by rules for the field and by those for the secret."""
    field, who, tail = case
    expected = MAY[field][list(READERS).index(who)]
    for name in ("warm", cold_name(case)):
        path = tls / f"{name}{tail}" / field
        assert outcome(lambda path=path: READERS[who](lambda: harness.read(path))) == expected, path
        assert harness.read(path) == VALUES[field]
        assert outcome(lambda path=path: READERS[who](lambda: harness.read(path))) == expected, path


def test_a_version_is_no_way_round_the_rule_of_its_secret(mount, open_mode):
    m = mount(
        files={n + tail: SECRET for n in ("root", "cold", "open", "lit#1") for tail in ("", ".versions/1", ".versions/old")},
        provider="test",
        mount_options={"open": open_mode},
        options={"group": "www-data", "mode": "0440"},
        sections={
            "path/s/root": {"mode": "0400", "group": "root"},
            "path/s/cold": {"mode": "0400", "group": "root"},
            "path/s/lit": {"mode": "0400", "group": "root"},
            "path/s/root#old": {"mode": "0440", "group": "www-data"},  # said of just this one
            "path/s/open#1": {"mode": "0400"},
        },
    )
    for name, expected in {
        "cold": "EACCES",
        "cold#1": "EACCES",
        "root": "EACCES",
        "root#1": "EACCES",
        "root#old": "ok",
        "lit#1": "EACCES",  # a secret that is called so
        "lit#1#1": "EACCES",
        "open": "ok",
        "open#old": "ok",
        "open#1": "EACCES",
        # No other way to write it.
        "root%231": "ENOENT",
        "roo%74": "ENOENT",
        "root/.value": "ENOTDIR",
        "root#1/.value": "ENOTDIR",
        "root#1/.json": "ENOTDIR",
        "./../s/root#1": "EACCES",
    }.items():
        assert outcome(lambda: run_as(WWW, WWW, [], reader(m / name))) == expected, name
        if expected == "EACCES":
            assert harness.read(m / name) == SECRET
            assert outcome(lambda: run_as(WWW, WWW, [], reader(m / name))) == expected, name


def test_a_name_that_is_both_is_no_way_round(mount, open_mode):
    m = mount(
        files={"db/below": SECRET, "db.value": SECRET},
        provider="test",
        mount_options={"open": open_mode},
        options={"group": "www-data", "mode": "0440"},
        sections={"path/s/db": {"mode": "0400", "group": "root", "dir_mode": "0755"}},
    )
    os.listdir(m.path / "s")
    assert outcome(lambda: run_as(WWW, WWW, [], reader(m / "db/below"))) == "ok"
    assert outcome(lambda: run_as(WWW, WWW, [], reader(m / "db/.value"))) == "EACCES"
    assert harness.read(m / "db/.value") == SECRET


def test_a_variable_has_one_name(mount):
    m = mount(
        sections={
            "provider/e": {"type": "env", "prefix": "HUSHTEST_", "group": "www-data", "mode": "0440"},
            "path/e/db-password": {"mode": "0400", "group": "root"},
        },
        environ={"HUSHTEST_DB_PASSWORD": SECRET.decode(), "HUSHTEST_DB_PASSWORD_PREVIOUS": SECRET.decode()},
    )
    for name in "db-password", "db-password#1", "db-password#2", "db-password#previous":
        assert outcome(lambda: run_as(WWW, WWW, [], reader(m.path / "e" / name))) == "EACCES", name
        assert harness.read(m.path / "e" / name) == SECRET
    for name in "db_password", "DB-PASSWORD", "DB_PASSWORD", "db-password-previous", "DB_PASSWORD#2":
        assert outcome(lambda: harness.read(m.path / "e" / name)) == "ENOENT", name


# -- Changes of the configuration -------------------------------------------------------------------------


def long_lived(mount, open_mode, **options):
    """A mount whose kernel timeouts are far longer than the test; read by nobody before."""
    m = mount(
        files={"dir/db": SECRET, "dir/other": SECRET},
        mount_options={"open": open_mode},
        options={"ttl": "3600", "mode": "0644", "dir_mode": "0755", **options},
    )
    assert outcome(lambda: harness.as_nobody(reader(m / "dir/db"))) == "ok"
    return m


@pytest.mark.parametrize("how", ["instance", "rule", "owner", "directory"])
def test_a_tightened_rule_acts_at_once(mount, open_mode, how):
    m = long_lived(mount, open_mode)
    if how == "instance":
        m.sections["provider/s"]["mode"] = "0600"
    elif how == "rule":
        m.sections["path/s/dir/db"] = {"mode": "0600"}
    elif how == "owner":
        m.sections["provider/s"].update(mode="0400", owner="www-data")
    else:
        m.sections["path/s/dir"] = {"dir_mode": "0700"}
    m.write_config()
    m.reload()
    assert outcome(lambda: harness.as_nobody(reader(m / "dir/db"))) == "EACCES"
    assert harness.read(m / "dir/db") == SECRET
    if how == "rule":
        assert outcome(lambda: harness.as_nobody(reader(m / "dir/other"))) == "ok"
    if how == "owner":
        assert outcome(lambda: run_as(WWW, WWW, [], reader(m / "dir/db"))) == "ok"


FIELD_TIGHTENED = {
    # new rules: what another user may still read of the secret
    "a field": ({"path/s/tls/key": {"mode": "0400"}}, {"certificate", "chain"}),
    "every field but one": ({"path/s/tls/c*": {"group": "adm", "mode": "0440"}}, {"key"}),
    "the whole": ({"path/s/tls/.json": {"mode": "0400"}}, {"certificate", "chain", "key"}),
    "the secret": ({"path/s/tls": {"mode": "0400"}}, set()),
    "a field of a version": ({"path/s/tls#1/key": {"mode": "0400"}}, {"certificate", "chain", "key", ".json"}),
}


@pytest.mark.parametrize("how", FIELD_TIGHTENED)
def test_a_tightened_rule_of_a_field_acts_at_once(mount, open_mode, how):
    """Also for a version, and for who stands in a directory that he opened before."""
    rules, left = FIELD_TIGHTENED[how]
    m = mount(
        provider="test",
        files={"tls": TLS, "tls.fields": b"", "tls.versions/1": TLS},
        mount_options={"open": open_mode},
        options={"as": "directory", "mode": "0444", "dir_mode": "0755", "ttl": "3600"},
    )
    held = {tail: os.open(m / f"tls{tail}", os.O_RDONLY | os.O_DIRECTORY) for tail in ("", "#1")}

    def readable(tail):
        names = {n for n in MAY if outcome(lambda: harness.as_nobody(lambda: harness.read(m / f"tls{tail}" / n))) == "ok"}
        within = {n for n in MAY if outcome(lambda: harness.as_nobody(lambda: harness.read(n, held[tail]))) == "ok"}
        assert names == within
        return names

    assert readable("") == readable("#1") == set(MAY)
    calls = m.calls()
    m.sections.update(rules)
    m.write_config()
    m.reload()
    assert readable("") == left
    assert readable("#1") == (left - {"key", ".json"} if how == "a field of a version" else left)
    assert all(harness.read(m / "tls" / n) for n in MAY)  # root
    assert m.calls() == calls, "the cached value was asked for again"
    for section in rules:
        del m.sections[section]
    m.write_config()
    m.reload()
    assert readable("") == readable("#1") == set(MAY)
    for fd in held.values():
        os.close(fd)


def test_a_tightened_rule_holds_for_versions_at_once(mount, open_mode):
    m = mount(
        files={n: SECRET for n in ("db", "db.versions/1")},
        provider="test",
        mount_options={"open": open_mode},
        options={"ttl": "3600", "mode": "0444"},
    )
    assert outcome(lambda: harness.as_nobody(reader(m / "db#1"))) == "ok"
    m.sections["path/s/db"] = {"mode": "0400"}
    m.write_config()
    m.reload()
    for name in "db#1", "db":
        assert outcome(lambda: harness.as_nobody(reader(m / name))) == "EACCES"
        assert harness.read(m / name) == SECRET


def test_a_loosened_rule_acts_too(mount, open_mode):
    m = long_lived(mount, open_mode, mode="0644")
    m.sections["path/s/dir/db"] = {"mode": "0600"}
    m.write_config()
    m.reload()
    assert outcome(lambda: harness.as_nobody(reader(m / "dir/db"))) == "EACCES"
    del m.sections["path/s/dir/db"]
    m.write_config()
    m.reload()
    assert outcome(lambda: harness.as_nobody(reader(m / "dir/db"))) == "ok"


def test_tightened_while_others_read(mount, open_mode):
    """No reader that may read fails, none that may not succeeds after the reload returned."""
    m = mount(
        files={"db": harness.content(1)},
        mount_options={"open": open_mode},
        options={"ttl": "3600", "mode": "0644"},
    )
    with harness.Reader(m / "db", threads=4, pause_us=200) as root:
        for mode, expected in (("0600", "EACCES"), ("0644", "ok"), ("0400", "EACCES")):
            m.sections["provider/s"]["mode"] = mode
            m.write_config()
            m.reload()
            for _ in range(50):
                assert outcome(lambda: harness.as_nobody(lambda: harness.read(m / "db"))) == expected
        harness.assert_clean(root.stop(), newest=1)


def test_sighup_reloads(mount):
    m = mount(files={"db": SECRET}, options={"mode": "0644"})
    m.sections["provider/s"]["mode"] = "0600"
    m.write_config()
    generation = m.status()["config_generation"]
    os.kill(m.keeper(), 1)
    harness.wait_for(lambda: m.status()["config_generation"] == generation + 1, 5, "the reload")
    assert outcome(lambda: harness.as_nobody(reader(m / "db"))) == "EACCES"


@pytest.mark.parametrize("key, value", [("memory", "20M"), ("allow_other", "no"), ("open", "kernel"), ("user", "nobody")])
def test_a_reload_says_what_it_cannot_change(mount, key, value):
    m = mount(files={"db": SECRET}, options={"mode": "0644"})
    m.expect_log("needs a new mount")
    m.reload()
    assert "needs a new mount" not in m.log_text()
    m.sections["mount"][key] = value
    m.write_config()
    m.reload()
    said = [line for line in m.log_text().splitlines() if "needs a new mount" in line]
    assert len(said) == 1 and f"`{key}`" in said[0], said
    expect_deaths(m)
    old = m.kill("worker")
    harness.wait_for(lambda: m.pids().get("worker") not in (None, old), 5, "a new worker")
    assert harness.read(m / "db") == SECRET
    assert m.log_text().count("needs a new mount") == 1, "it is said once"


BAD = {
    "unknown key": "[mount]\npath = {path}\n[provider/s]\ntype = file\nroot = {source}\ncolour = red\n",
    "unknown section": "[mount]\npath = {path}\n[colour]\nx = 1\n",
    "bad value": "[mount]\npath = {path}\n[provider/s]\ntype = file\nroot = {source}\nmode = 0999\n",
    "unknown type": "[mount]\npath = {path}\n[provider/s]\ntype = nothing\n",
    "duplicate key": "[mount]\npath = {path}\n[provider/s]\ntype = file\nroot = {source}\nttl = 1\nttl = 2\n",
    "no ini": "this is not a configuration\n",
    "empty": "",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_configuration_changes_nothing(mount, kind):
    m = mount(files={"db": SECRET}, options={"mode": "0640", "group": "adm"})
    good, pids = m.config.read_text(), m.pids()
    m.write_config(BAD[kind].format(path=m.path, source=m.source))
    m.expect_log(r"config|reload|hushfs\.conf")
    done = m.reload(check=False)
    assert done.returncode == 3
    assert str(m.config) in done.stderr + done.stdout, "no file name in the message"
    assert m.status()["config_generation"] == 1 and m.pids()["keeper"] == pids["keeper"]
    assert outcome(lambda: run_as(NOBODY, ADM, [], reader(m / "db"))) == "ok"
    assert outcome(lambda: harness.as_nobody(reader(m / "db"))) == "EACCES"
    # And the next good one is taken.
    m.write_config(good.replace("0640", "0600"))
    m.reload()
    assert outcome(lambda: run_as(NOBODY, ADM, [], reader(m / "db"))) == "EACCES"


def test_a_configuration_that_others_can_write_is_refused(mount):
    m = mount(files={"db": SECRET})
    m.expect_log(r"config|reload|hushfs\.conf")
    m.config.chmod(0o666)
    assert m.reload(check=False).returncode == 3
    m.config.chmod(0o600)
    os.chown(m.config, NOBODY, 0)
    assert m.reload(check=False).returncode == 3
    os.chown(m.config, 0, 0)
    m.reload()
    assert m.status()["config_generation"] == 2


def test_an_instance_that_comes_and_one_that_goes(mount, open_mode):
    m = mount(files={"db": SECRET}, mount_options={"open": open_mode}, options={"ttl": "3600"})
    fd = os.open(m / "db", os.O_RDONLY)
    more = m.base / "more"
    more.mkdir()
    (more / "new").write_bytes(b"new")
    m.sections["provider/more"] = {"type": "file", "root": more}
    m.write_config()
    m.reload()
    assert sorted(n for n in os.listdir(m.path) if n != ".hushfs") == ["more", "s"]
    assert harness.read(m.path / "more" / "new") == b"new"
    del m.sections["provider/s"]
    m.write_config()
    m.reload()
    assert [n for n in os.listdir(m.path) if n != ".hushfs"] == ["more"]
    assert outcome(lambda: harness.read(m / "db")) == "ENOENT"
    assert os.pread(fd, 100, 0) == SECRET
    os.close(fd)


# -- .hushfs -----------------------------------------------------------------------------------------------


def control_files(m):
    return [m.path / ".hushfs" / n for n in os.listdir(m.path / ".hushfs")]


def test_control_files_are_for_root_and_the_owner(mount):
    m = mount(files={"db": SECRET}, mount_options={"owner": "www-data", "mode": "0755"})
    files = control_files(m)
    assert {"status", "status.json"} <= {f.name for f in files}
    directory = m.path / ".hushfs"
    for who, uid, expected in (("owner", WWW, "ok"), ("nobody", NOBODY, "EACCES"), ("worker", DAEMON, "EACCES")):
        assert outcome(lambda: run_as(uid, uid, [], lambda: os.listdir(directory))) == expected, who
        for file in files:
            got = outcome(lambda: run_as(uid, uid, [], lambda: os.open(file, os.O_RDONLY) and None))
            assert got == expected, f"{who} {file.name}"
    assert outcome(lambda: run_as(0, 0, [ADM], lambda: os.listdir(directory), False)) == "EACCES"


def test_status_never_shows_a_value(mount):
    canary = b"canary-of-status-" + os.urandom(8).hex().encode()
    m = mount(files={"db": canary})
    harness.read(m / "db")
    for file in control_files(m):
        if os.stat(file).st_mode & 0o444 and file.name != "events":
            assert canary not in harness.read(file), file
    assert m.secret("db")["state"] == "fresh"


def test_the_top_directory(mount):
    m = mount(mount_options={"owner": "www-data", "group": "adm", "mode": "0750"})
    st = os.stat(m.path)
    assert (st.st_mode & 0o777, st.st_gid) == (0o750, ADM)
    assert outcome(lambda: harness.as_nobody(lambda: os.listdir(m.path))) == "EACCES"
    assert outcome(lambda: run_as(NOBODY, ADM, [], lambda: os.listdir(m.path))) == "ok"
