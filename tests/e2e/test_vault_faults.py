# SPDX-License-Identifier: Apache-2.0
"""The provider `vault` in trouble: a real OpenBao that is sealed, stopped, throttling; a server that does
what the real one cannot be made to do."""

import concurrent.futures
import os
import time

import evil
import harness
import pytest
from harness import SLACK, Hung, outcome, read, wait_for
from vault_fixtures import Counter, canary, fresh, token_for

pytestmark = pytest.mark.waits(0.8)

DEADLINE = 2  # [mount] deadline here, seconds


def timed(function):
    begin = time.monotonic()
    return function(), time.monotonic() - begin


@pytest.fixture
def unsealed(own_bao):
    yield own_bao
    own_bao.resume()
    if own_bao.health() == 503:
        own_bao.unseal()


def reading(vault, bao, **options):
    """(mount, name of a secret that was read, name of one that was not)"""
    names = fresh(), fresh()
    for name in names:
        bao.put("kv2", name, {"a": name})
    m = vault(bao, token=token_for(bao), options={"ttl": "1", **options}, mount_options={"deadline": str(DEADLINE)})
    m.expect_log("v/n|instance=v")
    assert m.text(f"{names[0]}/a") == names[0]
    return m, *names


# -- Sealed, stopped, throttled ---------------------------------------------------------------------------


def test_sealed(unsealed, vault):
    """What we have is served for resurrect_ttl and not longer; it is good again after the unsealing."""
    m, warm, cold = reading(vault, unsealed, resurrect_ttl="4")
    unsealed.seal()
    begin = time.monotonic()
    assert m.outcome(f"{cold}/a") in ("EHOSTDOWN", "EIO")
    assert "seal" in m.why(cold), m.why(cold)
    while time.monotonic() < begin + 2.5:
        assert m.text(f"{warm}/a") == warm
        time.sleep(0.05)
    assert m.secret(warm)["state"] == "stale"
    wait_for(lambda: m.outcome(f"{warm}/a") in ("EHOSTDOWN", "EIO"), 6, "the end of resurrect_ttl")
    assert time.monotonic() - begin > 3
    unsealed.unseal()
    wait_for(lambda: m.outcome(f"{warm}/a") == m.outcome(f"{cold}/a") == "ok", 6, "both after the unsealing")
    assert m.text(f"{cold}/a") == cold


def test_hung(unsealed, vault):
    """It takes connections and says nothing: readers wait until the deadline, and what we have is served."""
    m, warm, cold = reading(vault, unsealed)
    time.sleep(1.1)
    unsealed.hang()
    try:
        got, seconds = timed(lambda: m.outcome(f"{cold}/a"))
        assert got == "ETIMEDOUT" and seconds < (DEADLINE + 1) * SLACK
        got, seconds = timed(lambda: m.outcome(f"{warm}/a"))
        assert got == "ok" and seconds < (DEADLINE + 1) * SLACK
        with Hung(m / f"{cold}/a", threads=200) as readers:
            report = readers.wait(DEADLINE + 5)
        assert not report["ok"] and report["longest_ms"] < (DEADLINE + 1) * 1000 * SLACK, report
    finally:
        unsealed.resume()
    wait_for(lambda: m.outcome(f"{cold}/a") == "ok", 6, "the rest")


def test_killed_readers_go_at_once(unsealed, vault):
    m, _, cold = reading(vault, unsealed)
    unsealed.hang()
    try:
        with Hung(m / f"{cold}/a", threads=100) as readers:
            time.sleep(0.3)
            assert readers.kill() < 1 * SLACK
    finally:
        unsealed.resume()


@pytest.fixture
def quota(own_bao):
    """Three requests in two seconds; the fourth is answered by 429, Retry-After: 3."""
    own_bao.write("sys/quotas/config", {"enable_rate_limit_response_headers": True, "enable_rate_limit_audit_logging": True})
    path = fresh()
    own_bao.mount_kv(path)
    for name in ("a", "b", "c", "d", "e"):
        own_bao.put(path, name, {"a": name})
    own_bao.write(f"sys/quotas/rate-limit/{path}", {"path": path, "rate": 3, "interval": "2s", "block_interval": "3s"})
    yield path
    own_bao.delete(f"sys/quotas/rate-limit/{path}")


def test_throttled(own_bao, quota, vault):
    """EAGAIN, and nothing is asked again before Retry-After ends; what we have is served."""
    m = vault(own_bao, token=own_bao.token, options={"mount": quota, "kv": "v2", "ttl": "1"})
    m.expect_log("v/|instance=v")
    for name in "abc":
        assert m.text(f"{name}/a") == name
    assert m.outcome("d/a") == "EAGAIN"
    begin = time.monotonic()
    count = Counter(own_bao)
    while time.monotonic() < begin + 1.5:  # it says two
        with Hung(m / "d/a", threads=20) as readers:
            assert readers.wait(10)["errors"] == {"EAGAIN": 20}
        assert m.text("a/a") == "a", "stale"
        time.sleep(0.05)
    assert count(f"{quota}/data/d") == 0
    assert count(f"{quota}/data/a") <= 1
    wait_for(lambda: m.outcome("d/a") == "ok", 8, "the end of the throttling")


# -- A server that is not OpenBao -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evil_mount(module_vault):
    """Each answer has a secret of its own name: all good at first, read, and then as it is called."""
    token = canary()
    with evil.Evil() as server:
        m = module_vault(None, token=token, options={"url": server.url, "mount": "kv", "kv": "v2", "ttl": "1", "concurrency": "40"},
                         mount_options={"deadline": str(DEADLINE)}, start=False)  # fmt: skip
        m.instance("w", url=server.url, mount="kv", kv="v2", concurrency="40", neg_ttl="0")
        m.expect_log("v/|w/|instance=[vw]")
        m.start()
        for name in evil.ANSWERS:
            assert m.text(f"{name}/a") == "good", name
        time.sleep(3.5)  # the ttl, up to a second until the timer looks, and the ttl of what it fetched then
        server.how.update({name: name for name in evil.ANSWERS})
        m.evil, m.canary = server, token
        yield m


def all_at_once(mount, instance):
    """{name: outcome} of the first reads of all, and the longest that one took."""
    def one(name):
        return timed(lambda: outcome(lambda: read(mount.path / instance / name / "a")))

    with concurrent.futures.ThreadPoolExecutor(len(evil.ANSWERS)) as pool:
        found = dict(zip(evil.ANSWERS, pool.map(one, evil.ANSWERS)))
    return {name: got for name, (got, _) in found.items()}, max(seconds for _, seconds in found.values())


def test_evil_answers_keep_what_we_have(evil_mount):
    found, longest = all_at_once(evil_mount, "v")
    bad = {n: got for n, got in found.items() if got != ("ok" if evil.ANSWERS[n][2] else evil.ANSWERS[n][1])}
    assert not bad, bad
    assert longest < (2 * DEADLINE + 1) * SLACK
    for name, (_, _, kept) in evil.ANSWERS.items():
        assert not kept or evil_mount.text(f"{name}/a") == "good"


@pytest.mark.parametrize("name", evil.ANSWERS)
def test_evil_answers_are_errors(evil_mount, name):
    if not hasattr(evil_mount, "cold"):
        evil_mount.cold, longest = all_at_once(evil_mount, "w")
        assert longest < (2 * DEADLINE + 1) * SLACK
    assert evil_mount.cold[name] == evil.ANSWERS[name][1]


def test_no_redirect_is_followed(evil_mount):
    assert "redirect-302" in evil_mount.evil.seen and "redirect-307" in evil_mount.evil.seen
    assert not evil_mount.evil.trap.heard, "a connection was made to where the server pointed"


def test_no_evil_answer_is_written_down(evil_mount):
    """Neither the token nor what the server said is in the log or the status."""
    texts = evil_mount.log_text() + str(evil_mount.status())
    assert evil_mount.canary not in texts
    for words in ("<html>", "Sign in", "good"):
        assert words not in texts, words


def test_it_is_good_again(evil_mount):
    evil_mount.evil.how.clear()
    for name in evil.ANSWERS:
        wait_for(lambda name=name: evil_mount.outcome(f"{name}/a") == "ok", 20, name)
    status = evil_mount.status()
    assert status["memory"]["used"] < 1 << 20
    assert os.listdir(evil_mount.path)
    assert harness.alive(evil_mount.pids()["worker"])
