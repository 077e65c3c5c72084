# SPDX-License-Identifier: Apache-2.0
"""The provider `vault` on a real OpenBao: what KV secrets look like as files, and how often it is asked."""

import json
import os
import subprocess
import urllib.parse

import harness
import pytest
from harness import Hung, outcome, read
from vault_fixtures import Counter, backend, fresh, token_for

from backends import openbao

pytestmark = pytest.mark.waits(0.2)

# What is written, and what a reader gets: strings as raw bytes, all else as compact JSON.
TYPES = {
    "string": ("s3cret", b"s3cret"),
    "empty": ("", b""),
    "newline": ("one\ntwo\n", b"one\ntwo\n"),
    "nul": ("a\x00b", b"a\x00b"),
    "unicode": ("é\u2028𝄞", "é\u2028𝄞".encode()),
    "html": ("<a&b>", b"<a&b>"),
    "quotes": ('"\\', b'"\\'),
    "int": (5, b"5"),
    "yes": (True, b"true"),
    "no": (False, b"false"),
    "null": (None, b"null"),
    "list": ([1, {}], b"[1,{}]"),
    "map": ({"z": 1, "a": [True, None]}, b'{"a":[true,null],"z":1}'),
}

# Names of secrets, and what they are called below the mount.
ODD_NAMES = {
    "a b": "a b",
    "pct%25": "pct%2525",
    "q?r": "q?r",
    "plus+star*": "plus+star*",
    "ünï": "ünï",
    "x..y": "x..y",
    "dot.": "dot.",
    "not#7": "not#7",
    ".json": "%2Ejson",
}


def encoded(name):
    return urllib.parse.quote(name, safe="/")


@pytest.fixture(scope="module")
def secrets(bao):
    """More in the mounts kv1 and kv2 than the one secret that is in all."""
    for version in (1, 2):
        mount = f"kv{version}"
        bao.put(mount, "types", {name: value for name, (value, _) in TYPES.items()}, version)
        bao.put(mount, "fields", {"a/b": "slash", "..": "dots", "": "no name", ".value": "ours", "a%": "percent"}, version)
        bao.put(mount, "both", {"a": "a secret"}, version)
        bao.put(mount, "both/inner/leaf", {"a": "and a folder"}, version)
        bao.put(mount, "nothing", {"a": "refused"}, version)
        for name in ODD_NAMES:
            bao.put(mount, f"odd/{encoded(name)}", {"a": name}, version)
        for i in range(300):
            bao.put(mount, f"many/k{i:03}", {"a": "1"}, version)
    for i in (1, 2, 3):
        bao.put("kv2", "versions", {"a": f"v{i}"})
    bao.write("kv2/delete/versions", {"versions": [2]})
    bao.put("kv2", "destroyed", {"a": "v1"})
    bao.put("kv2", "destroyed", {"a": "v2"})
    bao.write("kv2/destroy/destroyed", {"versions": [1]})
    bao.put("kv2", "deleted", {"a": "v1"})
    bao.delete("kv2/data/deleted")
    bao.policy("most", {
        "kv1/*": "read,list", "kv2/data/*": "read", "kv2/metadata/*": "read,list",
        "kv1/nothing*": "deny", "kv2/data/nothing*": "deny",
    })  # fmt: skip
    return bao


@pytest.fixture(scope="module")
def both(secrets, module_vault):
    """Instances v1 and v2 that find out what they are, on one mount."""
    m = module_vault(secrets, token=token_for(secrets, "most"), start=False)
    m.instance("v1", mount="kv1")
    m.instance("v2", mount="kv2")
    m.expect_log("path=v[12]/")
    return m.start()


@pytest.fixture(params=["v1", "v2"])
def kv(request, both):
    return both.path / request.param


# -- Values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
def test_fields_are_files(kv, name):
    wanted = TYPES[name][1]
    assert read(kv / "types" / name) == wanted
    assert os.stat(kv / "types" / name).st_size == len(wanted)


def test_the_whole_is_json(kv):
    whole = json.loads(read(kv / "types/.json"))
    assert whole == {name: value for name, (value, _) in TYPES.items()}
    assert sorted(os.listdir(kv / "types")) == sorted([*TYPES, ".json"])


def test_numbers_are_kept_as_the_server_sends_them(bao, vault):
    """KV v1 keeps the digits as they were written; nobody may round them."""
    bao.write("kv1/numbers", '{"big":12345678901234567890123,"price":1.50,"tiny":1e-7}')
    m = vault(bao, token=token_for(bao), options={"mount": "kv1", "kv": "v1"})
    m.expect_log("numbers")
    got = m.outcome("numbers/price")
    assert got in ("ok", "EIO"), "read right, or refused; nothing in between"
    if got == "ok":
        assert m.text("numbers/big") == "12345678901234567890123"
        assert float(m.text("numbers/price")) == 1.5 and float(m.text("numbers/tiny")) == 1e-7


def test_field_names_that_need_escapes(kv):
    shown = {"%2E.": b"dots", "%": b"no name", "%2Evalue": b"ours", "a%25": b"percent"}
    for name, value in shown.items():
        assert read(kv / "fields" / name) == value, name
    assert sorted(os.listdir(kv / "fields")) == sorted([*shown, ".json"]), "a/b is no file name"
    assert json.loads(read(kv / "fields/.json"))["a/b"] == "slash"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_secret_names_that_need_escapes(kv, name):
    assert read(kv / "odd" / ODD_NAMES[name] / "a").decode() == name


def test_a_version_without_data_is_empty(bao, vault):
    """Written as null, which is not the null of a deleted one."""
    name = fresh()
    bao.write(f"kv2/data/{name}", {"data": None})
    m = vault(bao, token=token_for(bao))
    assert os.listdir(m / name) == [".json"] and m.text(f"{name}/.json") == "{}"


def test_as_file_it_is_the_whole(secrets, vault):
    m = vault(secrets, token=token_for(secrets), options={"as": "file"})
    assert json.loads(read(m / "app")) == {"user": "alice", "password": "s3cret"}


# -- Listings ---------------------------------------------------------------------------------------------


def test_all_pages_are_listed(kv):
    assert sorted(os.listdir(kv / "many")) == [f"k{i:03}" for i in range(300)]


def test_odd_names_are_listed(kv):
    assert sorted(os.listdir(kv / "odd")) == sorted(ODD_NAMES.values())


def test_a_secret_and_a_folder_of_one_name(kv):
    """The fields and, beside them, what is below: before a listing and after one."""
    for _ in range(2):
        assert read(kv / "both/inner/leaf/a") == b"and a folder"
        assert read(kv / "both/a") == b"a secret"
        assert json.loads(read(kv / "both/.json")) == {"a": "a secret"}
        os.listdir(kv)
    assert set(os.listdir(kv / "both")) == {"a", ".json", ".value", "inner"}
    assert read(kv / "both/.value") == read(kv / "both/.json")


def test_no_such_folder(kv):
    assert outcome(lambda: os.listdir(kv / "many/k000/none")) in ("ENOENT", "ENOTDIR")
    assert outcome(lambda: os.listdir(kv / "nowhere/at/all")) == "ENOENT"


# -- Refused and absent -----------------------------------------------------------------------------------


def test_absent_is_enoent_and_refused_is_eacces(kv):
    assert outcome(lambda: read(kv / "none/a")) == "ENOENT"
    assert outcome(lambda: read(kv / "app/none")) == "ENOENT"
    assert outcome(lambda: read(kv / "nothing/a")) == "EACCES"
    assert read(kv / "app/user") == b"alice", "and the others are read as before"


def test_a_refusal_costs_no_login(secrets, vault):
    """A policy's refusal is not a bad token: one request, and the token is kept."""
    m = vault(secrets, token=token_for(secrets, "most"), options={"neg_ttl": "0"})
    m.expect_log("nothing")
    assert m.text("app/user") == "alice"
    count = Counter(secrets)
    assert m.outcome("nothing/a") == "EACCES"
    assert count("kv2/data/nothing") == 1
    assert not [path for path in count.all() if path.startswith("auth/")]


# -- Versions ---------------------------------------------------------------------------------------------


def test_versions(both):
    v2 = both.path / "v2"
    assert read(v2 / "versions/a") == b"v3"
    assert read(v2 / "versions#1/a") == b"v1" and read(v2 / "versions#3/a") == b"v3"


@pytest.mark.parametrize("name, words", [
    ("versions#2", "deleted"), ("deleted", "deleted"), ("destroyed#1", "destroyed"), ("versions#9", None), ("none", None),
])  # fmt: skip
def test_deleted_destroyed_and_absent_are_told_apart(both, name, words):
    assert outcome(lambda: read(both.path / "v2" / name / "a")) == "ENOENT"
    row = next((s for s in both.status()["secrets"] if s["path"] == f"v2/{name}"), None)
    why = (row or {}).get("last_error") or ""
    found = [w for w in ("deleted", "destroyed") if w in why]
    assert found == ([words] if words else []), (row, why)


def test_a_policy_for_one_path_is_enough_for_its_versions(secrets, vault):
    """The server refuses app#1, which no policy names, before it is read as version 1 of app."""
    secrets.policy("one", {"kv2/data/app": "read"})
    m = vault(secrets, token=token_for(secrets, "one"))
    m.expect_log("v/app|instance=v")
    assert m.text("app/user") == "alice" and m.text("app#1/user") == "alice"


def test_a_new_version_is_seen(bao, vault):
    name = fresh()
    bao.put("kv2", name, {"a": "one"})
    m = vault(bao, token=token_for(bao), options={"ttl": "1"})
    assert m.text(f"{name}/a") == "one"
    fd = os.open(m / f"{name}/a", os.O_RDONLY)
    bao.put("kv2", name, {"a": "another"})
    harness.wait_for(lambda: m.text(f"{name}/a") == "another", 4, "the new version")
    assert os.pread(fd, 100, 0) == b"one"
    os.close(fd)
    bao.delete(f"kv2/metadata/{name}")
    harness.wait_for(lambda: m.outcome(f"{name}/a") == "ENOENT", 4, "its end")


# -- Which kind of KV it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_detection_without_rights_to_look(secrets, vault, version):
    """sys/internal/ui/mounts refused: it works all the same."""
    secrets.policy("blind", {
        "kv1/*": "read,list", "kv2/data/*": "read", "kv2/metadata/*": "read,list",
        "sys/internal/ui/mounts/*": "deny",
    })  # fmt: skip
    m = vault(secrets, token=token_for(secrets, "blind"), options={"mount": f"kv{version}"})
    assert m.text("app/user") == "alice"


@pytest.mark.parametrize("mount_, kv_", [("kv1", "v2"), ("kv2", "v1")])
def test_the_wrong_kind_is_explained(secrets, vault, mount_, kv_):
    m = vault(secrets, token=secrets.token, options={"mount": mount_, "kv": kv_})
    m.expect_log("app|instance=v")
    assert m.outcome("app/user") == "EIO"
    assert "kv" in m.why("app"), m.why("app")


# -- Namespaces and TLS -----------------------------------------------------------------------------------


def test_namespaces(bao, vault):
    name = fresh()
    bao.write(f"sys/namespaces/{name}")
    bao.write("sys/namespaces/inner", namespace=name)
    for namespace in (name, f"{name}/inner"):
        bao.mount_kv("kv", namespace=namespace)
        bao.put("kv", "app", {"a": namespace}, namespace=namespace)
    m = vault(bao, token=bao.token, options={"mount": "kv", "namespace": name}, start=False)
    m.instance("w", mount="kv", namespace=f"{name}/inner/")
    m.instance("x", mount="kv")
    m.expect_log("x/app|instance=x")
    m.start()
    assert m.text("app/a") == name
    assert read(m.path / "w/app/a").decode() == f"{name}/inner"
    assert outcome(lambda: read(m.path / "x/app/a")) == "ENOENT"


def test_tls(bao_tls, vault):
    """By the server's own authority; a secret, its list, one connection."""
    ca = harness.cache_dir() / "bao-ca.pem"
    harness.atomic_write(ca, bao_tls.ca_file.read_bytes())
    m = vault(bao_tls, token=token_for(bao_tls), options={"ca_file": ca})
    assert m.text("app/password") == "s3cret"
    assert "app" in os.listdir(m.path / "v")


@pytest.mark.parametrize("how", ["unknown authority", "another name", "plain HTTP"])
def test_tls_that_cannot_be_trusted(bao_tls, vault, how):
    ca = harness.cache_dir() / "bao-ca.pem"
    harness.atomic_write(ca, bao_tls.ca_file.read_bytes())
    options, words = {
        "unknown authority": ({}, ("certificate", "ca_file")),
        "another name": ({"ca_file": ca, "tls_server_name": "other.example"}, ("certificate",)),
        "plain HTTP": ({"url": f"http://127.0.0.1:{bao_tls.port}"}, ("https",)),
    }[how]
    m = vault(bao_tls, token=token_for(bao_tls), options={"resurrect_ttl": "0", **options})
    m.expect_log("app|instance=v")
    count = Counter(bao_tls)
    assert m.outcome("app/password") == "EIO"
    assert all(w in m.why("app") for w in words), m.why("app")
    assert not count.all(), "the token was sent to a server that is not trusted"


# -- How often it is asked --------------------------------------------------------------------------------


def test_a_thousand_cold_readers_cost_one_request(bao, vault):
    name = fresh()
    bao.put("kv2", name, {"a": "x"})
    m = vault(bao, token=token_for(bao))
    count = Counter(bao)
    with Hung(m / f"{name}/a", threads=1000) as readers:
        report = readers.wait(30)
    assert report["ok"] == 1000, report
    assert count(f"kv2/data/{name}") == 1


def test_all_fields_cost_one_request(bao, vault):
    name = fresh()
    bao.put("kv2", name, {"a": "1", "b": "2", "c": "3"})
    m = vault(bao, token=token_for(bao))
    count = Counter(bao)
    assert [m.text(f"{name}/{f}") for f in "abc"] == ["1", "2", "3"]
    read(m / f"{name}/.json")
    assert count(f"kv2/data/{name}") == 1


@pytest.mark.parametrize("version", [1, 2])
def test_listing_fetches_no_value(bao, vault, version):
    folder = fresh()
    for i in range(5):
        bao.put(f"kv{version}", f"{folder}/k{i}", {"a": "1"}, version)
    m = vault(bao, token=token_for(bao), options={"mount": f"kv{version}", "kv": f"v{version}"})
    assert folder in os.listdir(m.path / "v")
    count = Counter(bao)
    done = subprocess.run(["ls", "-F", m / folder], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == [f"k{i}/" for i in range(5)], "secrets that are maps are directories"
    place = f"kv{version}/" if version == 1 else "kv2/metadata/"
    assert {p for p in count.all() if folder in p} == {f"{place}{folder}/"}, count.all()


def test_ttl_zero_asks_each_time(bao, vault):
    name = fresh()
    bao.put("kv2", name, {"a": "x"})
    m = vault(bao, token=token_for(bao), options={"ttl": "0"})
    m.text(f"{name}/a")
    count = Counter(bao)
    for _ in range(5):
        assert m.text(f"{name}/a") == "x"
    assert 5 <= count(f"kv2/data/{name}") <= 10


# -- Several nodes ----------------------------------------------------------------------------------------


def test_the_mount_comes_up_before_its_server(vault):
    """Nobody listens, then there is a server without keys, then a sealed one, then a good one."""
    with backend(openbao.Raft) as raft:
        raft.stop_server()
        m = vault(raft, token="unknown", options={"neg_ttl": "0"})
        m.expect_log("app|instance=v")
        assert m.outcome("app/user") in ("EHOSTDOWN", "EIO")
        raft.start()
        assert m.outcome("app/user") in ("EHOSTDOWN", "EIO")
        raft.init()
        raft.unseal()
        raft.mount_kv("kv2")
        raft.put("kv2", "app", {"user": "alice"})
        m.token = raft.token
        m.credential("token", m.token)
        harness.wait_for(lambda: m.outcome("app/user") == "ok", 20, "the first read")
        with backend(lambda: openbao.Raft("openbao-standby", leader=raft)) as standby:
            standby.join()
            m.instance("w", url=standby.url)
            m.reload()
            harness.wait_for(lambda: outcome(lambda: read(m.path / "w/app/user")) == "ok", 10, "a standby's answer")
            assert read(m.path / "w/app/user") == b"alice"
