# SPDX-License-Identifier: Apache-2.0
"""The end of a mount on a real OpenBao: the token of a login of ours is given back with `revoke = yes`, when the
mount ends and not before; whatever is somebody else's stays."""

import signal
import time
import types

import harness
import pytest
from harness import wait_for
from vault_fixtures import Counter, token_for
from vault_logins import METHODS, Approle

REVOKE_SELF = "auth/token/revoke-self"
OURS = [name for name in METHODS if not name.startswith("token")]


@pytest.fixture
def tools(request):
    wanted = {"signer", "review", "authority"}
    return types.SimpleNamespace(**{name: request.getfixturevalue(name) for name in wanted})


def accessors(bao, path):
    """Of all tokens that were logged in for at auth/PATH."""
    found = []
    for accessor in bao.api("LIST", "auth/token/accessors")["data.keys"]:
        answer = bao.api("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        if answer.code == 200 and answer["data.path"].startswith(f"auth/{path}/login"):
            found.append(accessor)
    return found


def is_known(bao, accessor):
    answer = bao.api("POST", "auth/token/lookup-accessor", {"accessor": accessor})
    assert answer.code == 200 or "invalid accessor" in answer.text, answer
    return answer.code == 200


def logged_in(vault, bao, login=None, **options):
    """(mount, accessor of its token), after a read."""
    login = login or Approle(bao, token_ttl="1h")
    m = vault(bao, start=False)
    m.instance("v", **login.options(m), **options)
    m.start()
    assert m.text("app/password") == "s3cret"
    found = accessors(bao, login.path)
    assert len(found) == 1, found
    return m, found[0]


@pytest.mark.parametrize("method", OURS)
def test_given_back_at_unmount(request, vault, tools, method):
    server = request.getfixturevalue("bao_tls" if method == "cert" else "bao")
    m = vault(server, start=False)
    options = METHODS[method](server, m, tools)
    if server.ca_file:
        harness.atomic_write(harness.cache_dir() / "bao-ca.pem", server.ca_file.read_bytes())
        options["ca_file"] = harness.cache_dir() / "bao-ca.pem"
    m.instance("v", revoke="yes", **options)
    m.start()
    assert m.text("app/password") == "s3cret"
    path = next(value for key, value in options.items() if key.endswith("_auth_path"))
    found = accessors(server, path)
    assert len(found) == 1 and is_known(server, found[0]), found
    m.umount()
    assert not is_known(server, found[0]) and not accessors(server, path)


def test_the_keeper_gives_time_for_it(vault, bao):
    """Ended by a signal, as systemd does; there is no lease, only the login."""
    m, accessor = logged_in(vault, bao, revoke="yes")
    assert is_known(bao, accessor)
    m.kill("keeper", signal.SIGTERM)
    wait_for(lambda: not m.processes(), 10, "the end")
    assert not is_known(bao, accessor)


def test_kept_until_the_mount_ends(vault, bao):
    """Workers that are killed, and reloads, hand it on: the last worker gives it back, once."""
    m, accessor = logged_in(vault, bao, revoke="yes")
    count = Counter(bao)
    for end_it in (m.kill_worker, m.reload, m.kill_worker):
        end_it()
        assert m.text("app/password") == "s3cret"
        assert is_known(bao, accessor)
    assert count(REVOKE_SELF) == 0
    m.umount()
    assert not is_known(bao, accessor) and count(REVOKE_SELF) == 1


def test_kept_if_it_is_not_to_be_revoked(vault, bao):
    m, accessor = logged_in(vault, bao, revoke="no")
    m.umount()
    assert is_known(bao, accessor)


def test_a_given_token_is_untouched(vault, bao):
    token = token_for(bao)
    m = vault(bao, token=token, options={"revoke": "yes"})
    assert m.text("app/password") == "s3cret"
    count = Counter(bao)
    m.umount()
    assert count(REVOKE_SELF) == 0
    assert bao.api("GET", "auth/token/lookup-self", token=token).code == 200


def test_a_batch_token_cannot_be_revoked(vault, bao):
    """That is no fault, and no line of the log: see close() of the mount."""
    login = Approle(bao, token_type="batch", token_ttl="60s")
    m = vault(bao, start=False)
    m.instance("v", revoke="yes", **login.options(m))
    m.start()
    assert m.text("app/password") == "s3cret"
    count = Counter(bao)
    m.umount()
    assert count(REVOKE_SELF) == 1


def test_without_a_login_none_is_made(vault, bao):
    login = Approle(bao)
    m = vault(bao, start=False)
    m.instance("v", revoke="yes", **login.options(m))
    count = Counter(bao)
    m.start()
    m.umount()
    assert not count.all()


def test_a_token_that_is_gone_is_no_fault(vault, bao):
    login = Approle(bao, token_ttl="1h")
    m, _ = logged_in(vault, bao, login, revoke="yes")
    login.revoke_tokens()
    m.umount()


def test_an_instance_that_a_reload_removes(vault, bao):
    """It is not there any more when the mount ends: its token ends by itself, as leases do."""
    login = Approle(bao, token_ttl="1h")
    m, accessor = logged_in(vault, bao, login, revoke="yes")
    m.sections["provider/w"] = {"type": "file", "root": m.source}
    del m.sections["provider/v"]
    m.write_config()
    m.reload()
    m.umount()
    assert is_known(bao, accessor)


def test_an_instance_that_logs_in_otherwise(vault, bao):
    """After a reload: the token of the new login is given back, the old one ends by itself."""
    first, second = Approle(bao, token_ttl="1h"), Approle(bao, token_ttl="1h")
    m, old = logged_in(vault, bao, first, revoke="yes", ttl="0")
    m.instance("v", revoke="yes", ttl="0", **second.options(m, name="secret-id-2"))
    m.reload()
    assert m.text("app/password") == "s3cret"
    (new,) = accessors(bao, second.path)
    m.umount()
    assert is_known(bao, old) and not is_known(bao, new)


def test_a_server_that_hangs_costs_no_more_than_its_time(vault, own_bao):
    m, _ = logged_in(vault, own_bao, revoke="yes")
    m.expect_log("revoke failed path=v provider=vault status=TIMEOUT|not all logins could be revoked")
    own_bao.hang()
    try:
        begin = time.monotonic()
        m.umount()
        assert 4 < time.monotonic() - begin < 7 * harness.SLACK
    finally:
        own_bao.resume()
