# SPDX-License-Identifier: Apache-2.0
"""Vault instances that cannot be opened: told, never asked, and nobody who looks at them ends the worker."""

import os

import pytest
from cli import CONFIG, run
from harness import outcome, read
from vault_fixtures import token_for


# What `hushfs check` cannot know: what is wrong comes from the environment.
@pytest.fixture(params=["VAULT_CLIENT_KEY", "VAULT_CLIENT_CERT", "VAULT_CAPATH"])
def closed(bao, vault, request):
    values = {
        "VAULT_CLIENT_KEY": ("/nowhere/key.pem", "cert_auth_cert_key needs cert_auth_cert"),
        "VAULT_CLIENT_CERT": ("name", "$CREDENTIALS_DIRECTORY"),
        "VAULT_CAPATH": ("relative.pem", "VAULT_CAPATH"),
    }
    m = vault(bao, token=token_for(bao), start=False)
    m.environ[request.param], m.word = values[request.param]
    m.environ["E_CANARY"] = "value"
    m.sections["provider/e"] = {"type": "env", "prefix": "E_"}
    m.write_config()
    m.expect_log("instance|v/|list failed path=v")
    m.start()
    return m


def test_an_instance_that_did_not_open_is_never_asked(closed):
    worker = closed.pids()["worker"]
    for _ in range(3):
        assert closed.outcome("app/user") == "EIO"
        assert outcome(lambda: os.listdir(closed.path / "v")) == "EIO"
    assert closed.pids()["worker"] == worker, "the worker died"
    assert closed.word in closed.health()["last_error"], closed.health()
    assert closed.health()["health"] == "CONFIG"


def test_cert_without_a_certificate(bao, vault):
    m = vault(bao, start=False)
    m.instance("v", auth_method="cert")
    m.expect_log("instance|v/|list failed path=v")
    m.start()
    worker = m.pids()["worker"]
    assert m.outcome("app/user") == "EIO" and outcome(lambda: os.listdir(m.path / "v")) == "EIO"
    assert m.pids()["worker"] == worker, "the worker died"
    assert "cert_auth_cert" in m.health()["last_error"]


def test_other_instances_go_on(closed):
    for _ in range(3):
        assert closed.outcome("app/user") == "EIO"
        assert read(closed.path / "e/canary") == b"value"


def test_get_says_why(bao, vault, tmp_path):
    m = vault(bao, start=False)
    result = run("get", "-c", m.config, "v/app/user", environ={"VAULT_CAPATH": "relative.pem"})
    assert (result.status, result.out) == (CONFIG, b"") and "VAULT_CAPATH" in result.err, result
