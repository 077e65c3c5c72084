# SPDX-License-Identifier: Apache-2.0
"""The logins of the provider `vault` on a real OpenBao, and the life of a token: how often a server is
asked, what a refusal costs, what survives a worker."""

import os
import signal
import threading
import time
import types

import harness
import pytest
from cli import CONFIG, DONE, run
from harness import QUICK, wait_for
from vault_fixtures import Counter, sleep_until, token_for
from vault_logins import METHODS, Approle

pytestmark = pytest.mark.waits(1.5)

UNWRAP, LOOKUP = "sys/wrapping/unwrap", "sys/wrapping/lookup"


@pytest.fixture
def tools(request):
    """What some methods need, made when it is asked for."""
    wanted = {"signer", "review", "authority"}
    return types.SimpleNamespace(**{name: request.getfixturevalue(name) for name in wanted})


def with_approle(vault, bao, role=None, wrapping=False, secret=None, **options):
    """(mount, login)"""
    login = Approle(bao, **(role or {}))
    m = vault(bao, start=False)
    m.instance("v", **login.options(m, secret=secret, wrapping=wrapping), **options)
    return m.start(), login


# -- Each method ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_login(request, vault, tools, method):
    """kubernetes: its TokenReview is a fake, see tests/backends."""
    server = request.getfixturevalue("bao_tls" if method == "cert" else "bao")
    m = vault(server, start=False)
    if server.ca_file:
        harness.atomic_write(harness.cache_dir() / "bao-ca.pem", server.ca_file.read_bytes())
    options = METHODS[method](server, m, tools)
    if server.ca_file:
        options["ca_file"] = harness.cache_dir() / "bao-ca.pem"
    m.instance("v", **options)
    count = Counter(server)
    m.start()
    assert m.text("app/password") == "s3cret" and m.text("app/user") == "alice"
    logins = sum(n for path, n in count.all().items() if path.startswith("auth/") and "/login" in path)
    assert logins == (0 if method.startswith("token") else 1)


def test_a_certificate_of_another_authority_is_refused(bao_tls, vault, tools, tmp_path):
    m = vault(bao_tls, start=False)
    harness.atomic_write(harness.cache_dir() / "bao-ca.pem", bao_tls.ca_file.read_bytes())
    options = METHODS["cert"](bao_tls, m, tools)
    other = type(tools.authority)(tmp_path, "another CA").client("app.example")
    m.credential("client.pem", other[0].read_text())
    m.credential("client.key", other[1].read_text())
    m.instance("v", ca_file=harness.cache_dir() / "bao-ca.pem", **options)
    m.expect_log("app|instance=v")
    m.start()
    assert m.outcome("app/password") == "EIO"


def test_without_a_credential_the_message_says_what_to_set(bao, vault):
    m = vault(bao, start=False)
    m.environ["HOME"] = str(m.base / "cwd")
    m.expect_log("app|instance=v")
    m.start()
    assert m.outcome("app/password") == "EIO"
    assert "token_file" in m.why("app"), m.why("app")


def test_a_batch_token_is_enough(bao, vault):
    m = vault(bao, token=token_for(bao, type="batch", ttl="60s"))
    assert m.text("app/password") == "s3cret"


def test_a_token_without_the_default_policy_is_not_dead(bao, vault):
    """It may not look itself up nor renew itself; reads are what counts."""
    m = vault(bao, token=token_for(bao, no_default_policy=True, ttl="60s"), options={"ttl": "0"})
    m.expect_log("instance=v")
    for _ in range(3):
        assert m.text("app/password") == "s3cret"


# -- A response-wrapped secret id -------------------------------------------------------------------------


def test_a_wrapped_secret_id_is_unwrapped_once(bao, vault):
    """Whatever happens: many readers at first, a worker that is killed, a token that is revoked."""
    count = Counter(bao)
    m, login = with_approle(vault, bao, wrapping=True, ttl="0")
    with harness.Hung(m / "app/password", threads=50) as readers:
        report = readers.wait(20)
    assert report["ok"] == 50, report
    assert count(UNWRAP) == 1 and count.logins(login.path) == 1
    m.kill_worker()
    assert m.text("app/password") == "s3cret"
    assert count(UNWRAP) == 1 and count.logins(login.path) == 1, "the token and the secret id outlive the worker"
    login.revoke_tokens()
    wait_for(lambda: m.outcome("app/password") == "ok", 5, "a new login")
    assert count(UNWRAP) == 1 and count.logins(login.path) == 2
    m.kill_worker()
    login.revoke_tokens()
    wait_for(lambda: m.outcome("app/password") == "ok", 5, "a new login after a takeover")
    assert count(UNWRAP) == 1 and count.logins(login.path) == 3


def test_get_does_not_use_up_a_wrapping_token(bao, vault):
    login = Approle(bao)
    m = vault(bao, start=False)
    m.instance("v", **login.options(m, wrapping=True))
    requests = {path: Counter(bao) for path in (UNWRAP, LOOKUP, f"auth/{login.path}/login")}
    options = "auth_method=approle&approle_role_id=x&approle_secret_id_file=/etc/x&approle_response_wrapping=yes"
    for what in "v/app/user", "{vault://v/app/user}", f"{{vault://vault/app/user?{options}}}":
        result = run("get", "-c", m.config, what)
        assert (result.status, result.out) == (CONFIG, b""), result
        assert "approle_response_wrapping" in result.err and "through the mount" in result.err
    assert {path: count(path) for path, count in requests.items()} == dict.fromkeys(requests, 0)
    assert run("check", "-c", m.config).status == DONE
    m.start()
    assert m.text("app/user") == "alice"


def test_a_wrapping_token_of_something_else_is_not_unwrapped(bao, vault):
    """Somebody put a token there that wraps what is no secret id of ours: looked at, and left alone."""
    token = bao.read("kv2/data/app", headers={"X-Vault-Wrap-TTL": "60s"})["wrap_info.token"]
    count = Counter(bao)
    m, login = with_approle(vault, bao, wrapping=True, secret=token)
    m.expect_log("app|instance=v")
    assert m.outcome("app/password") == "EIO"
    assert count(UNWRAP) == 0 and count(LOOKUP) >= 1 and count.logins(login.path) == 0
    assert "wrap" in m.why("app"), m.why("app")
    assert bao.write(UNWRAP, token=token)["data.data.password"] == "s3cret", "it was used up"


def test_a_used_wrapping_token_is_an_alarm(bao, vault):
    """Somebody else unwrapped it first: that must be told."""
    login = Approle(bao)
    token = login.wrapped()
    bao.write(UNWRAP, token=token)
    m = vault(bao, start=False)
    m.instance("v", **login.options(m, secret=token, wrapping=True))
    m.expect_log("app|instance=v")
    count = Counter(bao)
    m.start()
    assert m.outcome("app/password") == "EIO"
    assert "wrap" in m.why("app"), m.why("app")
    assert count.logins(login.path) == 0


# -- Refused logins ---------------------------------------------------------------------------------------


def test_a_refused_login_is_not_repeated(bao, vault):
    """Six of them lock the identity out. A corrected file works at once."""
    login = Approle(bao)
    m = vault(bao, start=False)
    m.instance("v", **login.options(m, secret="00000000-0000-0000-0000-000000000000"), ttl="0", neg_ttl="0")
    m.expect_log("app|instance=v")
    count = Counter(bao)
    m.start()
    end = time.monotonic() + (3 if QUICK else 6)
    while time.monotonic() < end:
        with harness.Hung(m / "app/password", threads=50) as readers:
            assert readers.wait(20)["errors"] == {"EIO": 50}
        time.sleep(0.2)
    assert count.logins(login.path) == 1
    assert "secret id" in m.why("app").lower() or "approle" in m.why("app").lower(), m.why("app")
    m.credential("secret-id", login.secret_id())
    wait_for(lambda: m.outcome("app/password") == "ok", 3, "the corrected credential")
    assert count.logins(login.path) == 2


def test_the_rest_of_a_refused_login_is_stale(bao, vault):
    """Our login is refused, not the secret: what we have is served on."""
    m, login = with_approle(vault, bao, ttl="1")
    m.expect_log("app|instance=v")
    assert m.text("app/password") == "s3cret"
    m.credential("secret-id", "00000000-0000-0000-0000-000000000000")
    login.revoke_tokens()
    count = Counter(bao)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert m.text("app/password") == "s3cret"
        time.sleep(0.1)
    assert count.logins(login.path) == 1
    assert m.secret("app")["state"] == "stale"


# -- The life of a token ----------------------------------------------------------------------------------


def test_a_revoked_token_costs_one_silent_login(bao, vault):
    m, login = with_approle(vault, bao, ttl="0")
    assert m.text("app/password") == "s3cret"
    count = Counter(bao)
    login.revoke_tokens()
    with harness.Hung(m / "app/password", threads=50) as readers:
        report = readers.wait(20)
    assert report["ok"] == 50, report
    assert count.logins(login.path) == 1
    assert m.text("app/password") == "s3cret"
    assert count.logins(login.path) == 1


def test_a_revoked_token_of_a_file_is_read_again(bao, vault):
    """Whoever replaced the token's file need not tell us."""
    first = token_for(bao)
    m = vault(bao, token=first, options={"ttl": "0"})
    m.expect_log("app|instance=v")
    assert m.text("app/password") == "s3cret"
    m.credential("token", token_for(bao))
    bao.write("auth/token/revoke", {"token": first})
    assert m.text("app/password") == "s3cret"


class Reads(threading.Thread):
    """Reads over and over until stopped; failures are counted."""

    def __init__(self, mount, *names):
        super().__init__(daemon=True)
        self.mount, self.names, self.bad, self.count = mount, names, [], 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.wait(0.05):
            for name in self.names:
                got = harness.outcome(lambda name=name: harness.read(self.mount.path / name))
                self.count += 1
                if got != "ok":
                    self.bad.append((name, got))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()


def test_tokens_are_renewed_and_replaced_in_time(bao, vault):
    """Read for several lives of three tokens without one error: a login's and a file's, which are renewed,
    and one whose explicit_max_ttl no renewal passes: a new login comes before it."""
    renewed, bounded = Approle(bao, token_ttl="4s"), Approle(bao, token_ttl="3s", token_explicit_max_ttl="6s")
    m = vault(bao, start=False)
    m.instance("v", **renewed.options(m, name="s1"), ttl="0")
    m.instance("w", **bounded.options(m, name="s2"), ttl="0")
    m.instance("x", auth_method="token", token_file=m.credential("t", token_for(bao, ttl="4s")), ttl="0")
    count = Counter(bao)
    m.start()
    begin = time.monotonic()
    with Reads(m, "v/app/user", "w/app/user", "x/app/user") as reads:
        sleep_until(begin + (9 if QUICK else 16))
        lived = time.monotonic() - begin
    assert not reads.bad and reads.count > 100, reads.bad[:10]
    assert count.logins(renewed.path) == 1
    assert lived / 6 <= count.logins(bounded.path) <= lived / 2
    assert count("auth/token/renew-self") >= 4
    assert count("auth/token/renew-self") < 12 * lived, "renewed too often"


def test_a_renewal_that_fails_is_told_before_readers_meet_it(bao, vault):
    """A token that may not renew itself: while it lives, status and one line of the log say that it will end."""
    bao.policy("looker", {"auth/token/lookup-self": "read"})
    m = vault(bao, token=token_for(bao, "reader", "looker", ttl="9s", no_default_policy=True))
    m.expect_log("upkeep failed instance=v ")
    assert m.text("app/user") == "alice"
    assert m.health()["health"] == "OK"
    wait_for(lambda: m.health()["health"] != "OK", 9, "the news")
    assert "the token may not be renewed" in m.health()["last_error"], m.health()
    assert m.text("app/user") == "alice"
    assert m.log_text().count("upkeep failed instance=v ") == 1
    assert "warning: upkeep failed instance=v " in m.log_text()


def test_a_token_that_has_ended_while_nobody_read(bao, vault):
    """The server was away for longer than the token's life (here: the worker slept)."""
    m, login = with_approle(vault, bao, {"token_ttl": "2s"}, ttl="0")
    assert m.text("app/password") == "s3cret"
    worker = m.pids()["worker"]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(3)
    os.kill(worker, signal.SIGCONT)
    assert m.text("app/password") == "s3cret"
