# SPDX-License-Identifier: Apache-2.0
"""The smaller engines of OpenBao as files: ssh, totp, transit, and whatever else a GET answers."""

import json
import os
import subprocess

import pytest
from harness import outcome, read
from vault_fixtures import Counter, fresh, token_for

pytestmark = pytest.mark.waits(0.4)


@pytest.fixture(scope="module")
def engines(bao):
    for engine in ("ssh", "totp", "transit"):
        bao.mount(engine, engine)
    bao.write("ssh/config/ca", {"generate_signing_key": True})
    bao.policy("engines", {"ssh/issue/*": "update", "ssh/sign/*": "update", "ssh/roles": "list", "totp/code/*": "read",
                           "totp/keys": "list", "transit/keys/*": "read", "transit/keys": "list", "kv1/*": "read,list"})  # fmt: skip
    return bao


@pytest.fixture
def show(vault, engines):
    """A mount with one engine; sections of path rules by name."""

    def make(engine, mount=None, **rules):
        sections = {f"path/v/{name}": {f"param.{k}": v for k, v in rule.items()} for name, rule in rules.items()}
        return vault(engines, token=token_for(engines, "engines"), sections=sections,
                     options={"engine": engine, "mount": mount or engine})  # fmt: skip

    return make


def ssh_role(server):
    name = fresh()
    server.write(f"ssh/roles/{name}", {
        "key_type": "ca", "allow_user_certificates": True, "allowed_users": "*", "default_user": "alice", "ttl": "1h",
    })  # fmt: skip
    return name


def test_ssh_issues_a_key(show, engines, tmp_path):
    role = ssh_role(engines)
    m = show("ssh")
    count = Counter(engines)
    assert role in os.listdir(m.path / "v")
    key, signed = read(m / f"{role}/private_key"), read(m / f"{role}/signed_key")
    (tmp_path / "id").write_bytes(key)
    (tmp_path / "id").chmod(0o600)
    (tmp_path / "id-cert.pub").write_bytes(signed)
    told = subprocess.run(["ssh-keygen", "-L", "-f", tmp_path / "id-cert.pub"], capture_output=True, text=True, check=True)
    assert "alice" in told.stdout
    public = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "id"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "id.pub").write_text(public)
    mine = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "id.pub"], capture_output=True, text=True, check=True).stdout
    assert mine.split()[1] in told.stdout  # the fingerprint: key and certificate belong together
    assert count(f"ssh/issue/{role}") == 1


def test_ssh_signs_a_key_of_ours(show, engines, tmp_path):
    role = ssh_role(engines)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", tmp_path / "id"], check=True)
    public = " ".join((tmp_path / "id.pub").read_text().split()[:2])
    m = show("ssh", mine={"role": role, "public_key": public})
    (tmp_path / "id-cert.pub").write_bytes(read(m / "mine/signed_key"))
    told = subprocess.run(["ssh-keygen", "-L", "-f", tmp_path / "id-cert.pub"], capture_output=True, text=True, check=True)
    mine = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "id.pub"], capture_output=True, text=True, check=True).stdout
    assert mine.split()[1] in told.stdout
    assert outcome(lambda: os.stat(m / "mine/private_key")) == "ENOENT"


def test_totp_codes(show, engines):
    name = fresh()
    engines.write(f"totp/keys/{name}", {"url": f"otpauth://totp/A:{name}?secret=JBSWY3DPEHPK3PXP&issuer=A&period=3600"})
    m = show("totp")
    code = read(m / f"{name}/code").decode()
    assert len(code) == 6 and code.isdigit()
    assert 0 < int(m.secret(name)["expires_ms"]) <= 3_600_000
    assert os.listdir(m.path / "v").count(name) == 1


def test_transit_tells_of_a_key(show, engines):
    name = fresh()
    engines.write(f"transit/keys/{name}", {"type": "ed25519"})
    m = show("transit")
    assert read(m / f"{name}/type") == b"ed25519"
    assert "1" in json.loads(read(m / f"{name}/keys"))


def test_any_path_that_a_get_answers(show):
    m = show("read", mount="kv1")
    assert m.text("app/password") == "s3cret"
    assert json.loads(m.text("app/.json")) == {"user": "alice", "password": "s3cret"}
    assert "app" in os.listdir(m.path / "v")
    m.expect_log("none")
    assert m.outcome("none/a") == "ENOENT"
