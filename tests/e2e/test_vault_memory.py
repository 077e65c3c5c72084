# SPDX-License-Identifier: Apache-2.0
"""Neither a value nor a token of the provider `vault` stands anywhere but in the arena, and nothing of
them is left when they are released. JSON parser, HTTP client and TLS library all had them in hand."""

import pytest
from harness import memscan, outcome, read, wait_for
from test_memory import ARENA, assert_nowhere, assert_unwritten, copies
from vault_fixtures import Counter, canary, fresh, token_for
from vault_logins import Approle

import harness

pytestmark = pytest.mark.scans_memory


def outside_of_the_arena(mount, needle):
    """Copies in the worker's own memory. The arena may be hidden from /proc/PID/mem, or not."""
    worker = mount.pids()["worker"]
    plain = memscan(worker, needle)["whole"]
    arena = memscan(worker, needle, ARENA)["whole"] - plain
    return plain if plain != arena else 0, arena


def tls(server):
    harness.atomic_write(harness.cache_dir() / "bao-ca.pem", server.ca_file.read_bytes())
    return {"ca_file": harness.cache_dir() / "bao-ca.pem"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_is_left_of_a_value(request, vault, scheme):
    """Rotated, read as fields and as JSON, once by each of several connections."""
    bao = request.getfixturevalue("bao_tls" if scheme == "https" else "bao")
    name, values = fresh(), [canary() for _ in range(3)]
    bao.put("kv2", name, {"a": values[0], "b": "x"})
    m = vault(bao, token=token_for(bao), options={"ttl": "1", **(tls(bao) if scheme == "https" else {})})
    assert m.text(f"{name}/a") == values[0] and values[0] in m.text(f"{name}/.json")
    found, arena = outside_of_the_arena(m, values[0].encode())
    assert arena >= 1, "the scan does not find what is held"
    assert found == 0
    for value in values[1:]:
        bao.put("kv2", name, {"a": value, "b": "x"})
        wait_for(lambda value=value: m.text(f"{name}/a") == value, 4, "the rotation")
    bao.delete(f"kv2/metadata/{name}")
    wait_for(lambda: m.outcome(f"{name}/a") == "ENOENT", 4, "its end")
    for value in values:
        assert_nowhere(m, value.encode())
        assert_unwritten(m, value.encode())


def test_a_token_is_in_the_arena_only(bao, vault):
    """Of a file, and after requests, a refusal and a takeover."""
    token = token_for(bao)
    m = vault(bao, token=token, options={"ttl": "0"})
    m.expect_log("secret|instance=v")
    for _ in range(3):
        assert m.text("app/password") == "s3cret"
    assert m.outcome("none/a") == "ENOENT"
    for _ in range(2):
        found, arena = outside_of_the_arena(m, token.encode())
        assert found == 0 and arena >= 1
        for who in ("keeper", "mover"):
            assert copies(m, token.encode())[who]["whole"] == 0
        assert_unwritten(m, token.encode())
        m.kill_worker()
        assert m.text("app/password") == "s3cret"


def test_nothing_of_a_login_is_written(bao, vault):
    """The secret id, before and after a refusal, is in no text, and not in the memory either."""
    login = Approle(bao)
    secret = login.secret_id()
    m = vault(bao, start=False)
    m.instance("v", **login.options(m, secret=secret), ttl="0")
    m.expect_log("app|instance=v")
    m.start()
    assert m.text("app/password") == "s3cret"
    assert outside_of_the_arena(m, secret.encode())[0] == 0
    assert_unwritten(m, secret.encode())
    wrong = canary()
    m.credential("secret-id", wrong)
    login.revoke_tokens()
    count = Counter(bao)
    assert m.text("app/password") == "s3cret", "served on"
    assert count.logins(login.path) == 1 and "refused (400)" in m.health()["last_error"]
    assert outside_of_the_arena(m, wrong.encode())[0] == 0
    assert_unwritten(m, wrong.encode())


def test_nothing_is_left_of_an_instance(bao, vault):
    """Removed by a reload: its token and its values go with it."""
    name, value, token = fresh(), canary(), token_for(bao)
    bao.put("kv2", name, {"a": value})
    m = vault(bao, token=token)
    assert m.text(f"{name}/a") == value
    m.sections["provider/w"] = {"type": "env", "prefix": "HUSHTEST_"}
    del m.sections["provider/v"]
    m.write_config()
    m.reload()
    assert outcome(lambda: read(m / f"{name}/a")) == "ENOENT"
    assert_nowhere(m, value.encode())
    assert_nowhere(m, token.encode())
