# SPDX-License-Identifier: Apache-2.0
"""A name that is a secret and a folder at once is one directory: its fields and, beside them, what is below
the folder, whatever was looked at first. Nothing that could be read goes away because somebody listed it."""

import json
import os
import time

import harness
import pytest
from harness import QUICK, Inotify, Reader, outcome, wait_for
from test_takeover import expect_deaths

APP = {"password": "s3cret", "user": "alice"}
SOURCE = {
    "app.value": json.dumps(APP), "app.fields": "",
    "app/db": '{"key": "below"}', "app/sub/leaf": '{"key": "deep"}',
    "alone": '{"a": "1"}', "alone.fields": "", "odd.value": '{"a": "1"}', "odd.fields": "", "odd/.nothing": "",
}  # fmt: skip
OWN = {*APP, ".json", ".value"}
BELOW = {"db", "sub"}


def make(mount, open_mode="checked", start=True, **options):
    files = {name: text.encode() for name, text in SOURCE.items()}
    m = mount(files=files, provider="test", options={"as": "directory", **options},
              mount_options={"open": open_mode}, start=False)  # fmt: skip
    m.expect_log("s/app")
    return m.start() if start else m


@pytest.fixture
def both(mount, open_mode):
    return make(mount, open_mode)


def text(m, name):
    return harness.read(m / name).decode()


def all_is_readable(m):
    for name, value in APP.items():
        assert text(m, f"app/{name}") == value
    assert json.loads(text(m, "app/.json")) == APP
    assert text(m, "app/db/key") == "below" and text(m, "app/sub/leaf/key") == "deep"


LOOKS = {
    "nothing": lambda m: None,
    "the top": lambda m: os.listdir(m.path / "s"),
    "the name": lambda m: os.listdir(m / "app"),
    "both": lambda m: [os.listdir(m.path / "s"), os.listdir(m / "app")],
    "below": lambda m: os.listdir(m / "app/sub"),
    "all": lambda m: list(os.walk(m.path / "s")),
    "the child": lambda m: text(m, "app/db/key"),
    "the field": lambda m: text(m, "app/user"),
    "no name": lambda m: outcome(lambda: os.stat(m / "app/none")),
}


@pytest.mark.parametrize("first", LOOKS)
def test_all_is_there_whatever_was_looked_at(both, first):
    LOOKS[first](both)
    all_is_readable(both)
    assert set(os.listdir(both / "app")) == OWN | BELOW
    assert set(os.listdir(both / "app/sub")) == {"leaf"}
    all_is_readable(both)
    assert harness.read(both / "app/.value") == harness.read(both / "app/.json")
    assert outcome(lambda: os.stat(both / "app/none")) == "ENOENT"
    kinds = {entry.name: entry.is_dir() for entry in os.scandir(both / "app")}
    assert kinds == {name: name in BELOW for name in OWN | BELOW}
    assert set(os.listdir(both / "alone")) == {"a", ".json"} and outcome(lambda: os.stat(both / "alone/.value")) == "ENOENT"


def test_a_field_wins(mount):
    m = make(mount)
    m.put("app/user/inner", b'{"key": "hidden"}')
    assert text(m, "app/user") == "alice"
    assert sorted(os.listdir(m / "app")) == sorted(OWN | BELOW), "and it is there once"


def test_where_nothing_can_be_listed(mount, open_mode):
    m = make(mount, open_mode, start=False)
    m.set(".unlisted")
    m.start()
    all_is_readable_but = {"app/sub/leaf/key"}  # nobody may say that app/sub is a folder
    assert text(m, "app/user") == "alice" and text(m, "app/db/key") == "below"
    assert set(os.listdir(m / "app")) >= set(APP) | {".json"}
    assert all(outcome(lambda name=name: text(m, name)) == "ENOENT" for name in all_is_readable_but)


# -- What it costs ----------------------------------------------------------------------------------------


def test_fields_cost_one_call(mount):
    m = make(mount)
    for name in (*APP, ".json"):
        text(m, f"app/{name}")
    assert m.calls() == ["fetch app"]


def test_a_missing_field_is_asked_for_once(mount):
    m = make(mount)
    text(m, "alone/a")
    for _ in range(5):
        assert outcome(lambda: os.stat(m / "alone/none")) == "ENOENT"
    assert m.calls() == ["fetch alone", "fetch alone/none", "list alone/none"]


def test_a_listing_tells_that_there_is_nothing_below(mount):
    m = make(mount)
    os.listdir(m.path / "s")
    text(m, "alone/a")
    for name in ("x", "y", "z"):
        assert outcome(lambda name=name: os.stat(m / "alone" / name)) == "ENOENT"
    assert set(os.listdir(m / "alone")) == {"a", ".json"}
    assert m.calls() == ["list ", "fetch alone"]


def test_listing_a_secret_asks_once(mount):
    m = make(mount)
    for _ in range(5):
        assert set(os.listdir(m / "alone")) == {"a", ".json"}
        assert set(os.listdir(m / "app")) == OWN | BELOW
    assert sorted(m.calls("list")) == ["list alone", "list app"]


@pytest.mark.parametrize("error", ["DENIED", "UNAVAILABLE", "UNSUPPORTED", "TIMEOUT"])
def test_a_missing_field_is_enoent_whatever_the_backend_says(mount, open_mode, error):
    m = make(mount, open_mode)
    m.expect_log("odd")
    text(m, "odd/a")
    m.set("odd/none.error", error)
    m.set(".list.error", error)
    assert outcome(lambda: os.stat(m / "odd/none")) == "ENOENT"
    assert outcome(lambda: text(m, "odd/none")) == "ENOENT"
    assert set(os.listdir(m / "odd")) == {"a", ".json"}
    assert text(m, "odd/a") == "1"


def test_an_ill_backend_is_not_asked_for_fields_that_are_not_there(mount):
    m = make(mount, neg_ttl="0")
    m.expect_log("other|alone")
    text(m, "alone/a")
    m.set("other.error", "UNAVAILABLE")
    outcome(lambda: text(m, "other"))
    before = m.calls()
    assert outcome(lambda: os.stat(m / "alone/none")) == "ENOENT"
    assert set(os.listdir(m / "alone")) == {"a", ".json"}
    assert m.calls() == before


# -- The secret comes, goes, changes ----------------------------------------------------------------------


@pytest.mark.parametrize("error, listed", [
    ("DENIED", True), ("NOT_FOUND", True), ("UNAVAILABLE", True), ("DENIED", False), ("NOT_FOUND", False),
])  # fmt: skip
def test_without_the_secret_the_folder_is_there(mount, open_mode, error, listed):
    m = make(mount, open_mode, start=False, neg_ttl="1")
    m.set("app.error", error)
    m.start()
    if listed:
        os.listdir(m.path / "s")
    assert text(m, "app/sub/leaf/key") == "deep" and text(m, "app/db/key") == "below"
    assert set(os.listdir(m / "app")) - {".value"} == BELOW
    assert outcome(lambda: text(m, "app/user")) in ("ENOENT", "EACCES", "EHOSTDOWN")
    m.unset("app.error")
    os.listdir(m.path / "s")  # else nobody knows that there is a secret, too
    wait_for(lambda: outcome(lambda: text(m, "app/user")) == "ok", 5, "the fields")
    all_is_readable(m)


def test_refused_meanwhile(mount, open_mode):
    m = make(mount, open_mode, ttl="1", neg_ttl="1")
    all_is_readable(m)
    m.set("app.error", "DENIED")
    wait_for(lambda: outcome(lambda: text(m, "app/user")) != "ok", 5, "the refusal")
    assert text(m, "app/db/key") == "below" and text(m, "app/sub/leaf/key") == "deep"
    m.unset("app.error")
    wait_for(lambda: outcome(lambda: text(m, "app/user")) == "ok", 5, "the fields")


def test_a_folder_becomes_a_secret_and_a_secret_a_folder(mount, open_mode):
    m = make(mount, open_mode, ttl="1", neg_ttl="1")
    m.put("late/x", b'{"key": "first"}')
    os.listdir(m.path / "s")
    assert text(m, "late/x/key") == "first"
    m.put("late.value", b'{"own": "later"}')
    m.set("late.fields")
    m.put("alone2", b'{"a": "1"}')
    assert text(m, "alone2/a") == "1"

    def looks():
        os.listdir(m.path / "s")
        return outcome(lambda: text(m, "late/own")) == "ok"

    wait_for(looks, 6, "the secret beside the folder")
    assert text(m, "late/own") == "later" and text(m, "late/x/key") == "first"
    m.remove("alone2")
    m.put("alone2.value", b'{"a": "1"}')
    m.put("alone2/x", b'{"key": "below"}')
    wait_for(lambda: outcome(lambda: text(m, "alone2/x/key")) == "ok", 6, "the folder below the secret")
    assert text(m, "alone2/a") == "1"


def versions(m, version):
    m.put("app.value", json.dumps({"one": f"{version}", "two": f"{version}"}).encode())
    m.put("app/db", json.dumps({"key": f"{version}"}).encode())


@pytest.mark.timeout(90)
def test_rotations_of_both_fail_no_read(mount, open_mode):
    """The directory is exchanged under its readers, and what is below it with it."""
    m = make(mount, open_mode, start=False, ttl="1")
    m.set(".watch")
    m.put("app.value", harness.content(1))
    m.put("app/db", harness.content(1))
    m.unset("app.fields")
    m.start()
    reads = [m / "app/.value", m / "app/db/.value"]
    with Reader(*reads, threads=8, pause_us=500) as reader:
        version, end = 1, time.monotonic() + (5 if QUICK else 20)
        while time.monotonic() < end:
            version += 1
            m.put("app.value", harness.content(version))
            m.put("app/db", harness.content(version))
            m.set(".changed", "*")
            text(m, "app/sub/leaf/key")
            os.listdir(m / "app")
            time.sleep(0.1)
        wait_for(lambda: all(harness.version_of(harness.read(p)) == version for p in reads), 4, "the last version")
        report = reader.stop()
    print(report)
    harness.assert_clean(report)


def test_who_stands_below_stays(mount, open_mode):
    m = make(mount, open_mode, ttl="1")
    all_is_readable(m)
    inner = os.open(m / "app/sub", os.O_RDONLY | os.O_DIRECTORY)
    old = os.open(m / "app", os.O_RDONLY | os.O_DIRECTORY)
    m.put("app.value", json.dumps({**APP, "user": "bob"}).encode())
    wait_for(lambda: text(m, "app/user") == "bob", 5, "the rotation")
    assert text(m, "app/sub/leaf/key") == "deep"
    assert harness.read("user", dir_fd=old) == b"alice" and harness.read("db/key", dir_fd=old) == b"below"
    assert harness.read("leaf/key", dir_fd=inner) == b"deep" and os.listdir(inner) == ["leaf"]
    os.close(inner)
    os.close(old)


def test_watchers_see_a_rotation_below(mount, open_mode):
    m = make(mount, open_mode, start=False)
    m.set(".watch")
    m.start()
    all_is_readable(m)
    with Inotify(m / "app") as notify:
        m.put("app/db", b'{"key": "new"}')
        m.set(".changed", "app/db")
        found = notify.wait(lambda events: any("MOVED_TO" in bits and name == "db" for _, bits, name in events), 3)
    assert text(m, "app/db/key") == "new", found


def test_takeover(mount, open_mode):
    m = make(mount, open_mode)
    expect_deaths(m)
    all_is_readable(m)
    os.listdir(m / "app")
    directory = os.open(m / "app", os.O_RDONLY | os.O_DIRECTORY)
    assert set(os.listdir(directory)) == OWN | BELOW
    calls = m.calls()
    for _ in range(2):
        old = m.kill("worker")
        wait_for(lambda: m.pids().get("worker") not in (None, old), 5, "a new worker")
        all_is_readable(m)
        assert set(os.listdir(directory)) == OWN | BELOW == set(os.listdir(m / "app"))
        assert harness.read("sub/leaf/key", dir_fd=directory) == b"deep"
    assert m.calls() == calls, "the new worker knew all of it"
    os.close(directory)


# -- As a file --------------------------------------------------------------------------------------------


def test_a_file_that_a_store_on_this_machine_has_is_known_to_be_both(mount, tmp_path):
    """Where a listing costs nothing it is asked for before the secret is shown as a file."""
    m = mount(start=False)
    store, key = m.base / "store", m.base / "key.jwk"
    where = ("--store", store, "--key-file", key)
    m.command("store", "init", "--owner", "daemon", *where)
    for name, value in (("app", "own"), ("app/db", "below"), ("alone", "file")):
        (tmp_path / "value").write_text(value)
        m.command("store", "put", *where, "--file", tmp_path / "value", name)
    m.sections["provider/v"] = {"type": "sealed", "store": store, "key_file": key}
    m.write_config()
    m.start()
    top = m.path / "v"
    assert harness.read(top / "app/db") == b"below" and harness.read(top / "app/.value") == b"own"
    assert set(os.listdir(top / "app")) == {"db", ".value"}
    assert harness.read(top / "alone") == b"file"
