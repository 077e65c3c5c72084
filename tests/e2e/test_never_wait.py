# SPDX-License-Identifier: Apache-2.0
"""Nobody waits for somebody else's backend, and nobody longer than the deadline; one call per secret
and refresh; what is served when the backend fails, and what is not."""

import os
import signal
import stat
import subprocess
import threading
import time

import harness
import pytest
from harness import NOBODY, QUICK, SLACK, Hung, Reader, content, outcome, run_as, version_of, wait_for

CROWD = 1000


@pytest.fixture
def backend(mount, open_mode):
    """A factory of mounts of the test provider."""

    def make(files=None, mount_options=None, **options):
        return mount(
            provider="test",
            files=files or {},
            mount_options={"open": open_mode, **(mount_options or {})},
            options=options,
        )

    return make


def timed(function):
    begin = time.monotonic()
    result = function()
    return result, time.monotonic() - begin


# -- A hung backend ---------------------------------------------------------------------------------------


@pytest.fixture
def hung(backend):
    """s/dir with a secret that hangs, 1,000 readers parked on it, and some that do not hang."""
    m = backend(
        {"dir/slow": b"x", "dir/slow.hang": b"", "dir/fast": content(1), "dir/fresh": content(1), "top": content(1)},
        mount_options={"deadline": "10s"},
        ttl="3600",
    )
    harness.read(m / "dir/fast")
    harness.read(m / "top")
    with Hung(m / "dir/slow", CROWD) as readers:
        wait_for(lambda: m.calls("fetch", "dir/slow"), 5, "the parked readers")
        time.sleep(0.3)
        m.readers = readers
        yield m


def assert_fast(*paths, threads=2, run_ms=2000, pause_us=1000):
    """Reads of these paths (cached) are fast: p99 < 10 ms, or as fast as a plain file meanwhile."""
    plain = harness.cache_dir() / "plain"
    if not plain.exists():
        harness.atomic_write(plain, content(1))
    options = {"threads": threads, "run_ms": run_ms, "pause_us": pause_us}
    with Reader(*paths, **options) as ours, Reader(plain, **options) as noise:
        report, floor = ours.wait(run_ms / 1000 + 10), noise.wait(run_ms / 1000 + 10)
    print(report, floor)
    harness.assert_clean(report)
    assert report["p99_us"] < max(10_000 * SLACK, 3 * floor["p99_us"]), (report, floor)


def test_cached_reads_do_not_notice(hung):
    assert_fast(hung / "dir/fast", hung / "top", run_ms=3000)
    assert hung.readers.process.poll() is None, "the readers did not hang"


def test_lookups_beside_it_do_not_notice(hung):
    for i in range(100):
        result, seconds = timed(lambda: outcome(lambda: os.stat(hung / f"dir/nope{i}")))
        assert result == "ENOENT" and seconds < 0.5 * SLACK
    result, seconds = timed(lambda: harness.read(hung / "dir/fresh"))
    assert version_of(result) == 1 and seconds < 0.5 * SLACK


def test_listing_its_directory_does_not_notice(hung):
    names, seconds = timed(lambda: sorted(os.listdir(hung / "dir")))
    assert names == ["fast", "fresh", "slow"] and seconds < 0.5 * SLACK
    types, seconds = timed(lambda: {e.name: e.is_file() for e in os.scandir(hung / "dir")})
    assert all(types.values()) and seconds < 0.5 * SLACK


def test_status_does_not_notice(hung):
    status, seconds = timed(hung.status)
    assert seconds < 0.5 * SLACK
    rows = {s["path"]: s for s in status["secrets"]}
    assert rows["s/dir/fast"]["state"] == "fresh"


def test_nobody_locks_a_directory_with_o_creat(hung):
    """Opening with O_CREAT takes the directory's lock; LOOKUP must be over at once."""
    with Hung(hung / "dir/slow", 4, create=True, user=NOBODY):
        time.sleep(0.2)
        for name in ("dir/fresh", "dir/nope", "dir/nope2"):
            _, seconds = timed(lambda name=name: outcome(lambda: os.stat(hung / name)))
            assert seconds < 0.5 * SLACK, name


def test_killed_readers_are_gone_at_once(hung):
    assert hung.readers.kill() < 1 * SLACK
    wait_for(lambda: not (hung.secret("dir/slow") or {}).get("readers"), 2, "no reader in status")
    assert_fast(hung / "dir/fast", run_ms=500)


def test_an_interrupted_reader_is_gone_at_once(hung):
    """As with Ctrl-C: SIGINT ends cat."""
    # Whoever runs the tests in the background has it ignored.
    process = subprocess.Popen(
        ["cat", hung / "dir/slow"],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, seconds = timed(lambda: process.wait(timeout=5))
    process.stdout.close()
    assert seconds < 1 * SLACK


def test_it_ends_when_the_backend_answers(hung):
    hung.unset("dir/slow.hang")
    report = hung.readers.wait(5)
    assert report["ok"] == CROWD
    assert len(hung.calls("fetch", "dir/slow")) == 1


@pytest.mark.waits(3)
def test_another_instance_does_not_notice(mount, open_mode):
    """Each instance has threads of its own: all of one may hang."""
    m = mount(
        provider="test",
        files={**{f"slow{i}": b"x" for i in range(20)}, **{f"slow{i}.hang": b"" for i in range(20)}},
        mount_options={"open": open_mode, "deadline": "3s"},
        start=False,
    )
    other = m.base / "other"
    other.mkdir()
    for i in range(50):
        (other / f"f{i}").write_bytes(content(1, 100))
    m.sections["provider/other"] = {"type": "file", "root": other}
    m.write_config()
    m.expect_log("s/slow")
    m.start()
    crowd = [Hung(m / f"slow{i}", 5) for i in range(20)]
    try:
        time.sleep(0.5)
        for i in range(50):
            result, seconds = timed(lambda i=i: harness.read(m.path / "other" / f"f{i}"))
            assert version_of(result) == 1 and seconds < 0.5 * SLACK
        for hung in crowd:
            report = hung.wait(5)
            assert report["errors"] == {"ETIMEDOUT": 5}, report
            assert report["longest_ms"] < 3500 * SLACK, report
    finally:
        for hung in crowd:
            hung.__exit__()


# -- The deadline -----------------------------------------------------------------------------------------


@pytest.mark.waits(3)
@pytest.mark.parametrize("deadline, readers", [(None, CROWD), ("1s", 50), ("2500ms", 1)])
def test_the_deadline(backend, deadline, readers):
    """ETIMEDOUT, not before it and hardly after it; 5 s if nothing is said."""
    m = backend({"slow": b"x", "slow.hang": b""}, mount_options={"deadline": deadline} if deadline else {})
    m.expect_log("s/slow")
    wanted = {None: 5000, "1s": 1000, "2500ms": 2500}[deadline]
    with Hung(m / "slow", readers) as hung:
        report = hung.wait(12)
    assert report["errors"] == {"ETIMEDOUT": readers}, report
    # The first one waits for all of it; who came later shares the outcome of the one call.
    assert report["shortest_ms"] >= wanted - 250, report
    assert report["longest_ms"] >= wanted - 20, report
    assert report["longest_ms"] <= (wanted + 500) * SLACK, report
    assert len(m.calls("fetch", "slow")) == 1


@pytest.mark.waits(1)
def test_stat_has_the_deadline_too(backend):
    m = backend({"slow": b"x", "slow.hang": b""}, mount_options={"deadline": "1s"})
    m.expect_log("s/slow")
    result, seconds = timed(lambda: outcome(lambda: os.stat(m / "slow")))
    assert result == "ETIMEDOUT" and 0.98 <= seconds < 1.5 * SLACK


def test_a_deaf_provider_costs_only_its_own_secret(backend):
    """A call that does not even end when it is told to: its readers still have their deadline."""
    m = backend({"deaf": b"x", "deaf.deaf": b"", "fast": content(1)}, mount_options={"deadline": "1s"})
    m.expect_log("s/deaf")
    m.set("deaf.hang")
    harness.read(m / "fast")
    with Hung(m / "deaf", 20) as hung:
        report = hung.wait(5)
    assert report["errors"] == {"ETIMEDOUT": 20} and report["longest_ms"] < 1500 * SLACK
    assert_fast(m / "fast", run_ms=1000)
    m.unset("deaf.deaf", "deaf.hang")


# -- Single flight ---------------------------------------------------------------------------------------


def test_one_call_for_a_thousand_cold_readers(backend):
    m = backend({"db": content(1), "db.delay": b"500"})
    with Hung(m / "db", CROWD) as crowd:
        report = crowd.wait(10)
    assert report["ok"] == CROWD and report["longest_ms"] < 3000 * SLACK, report
    assert m.calls("fetch") == ["fetch db"]


@pytest.mark.waits(1.5)
def test_one_call_for_a_thousand_readers_of_an_expired_value(backend):
    m = backend({"db": content(1)}, ttl="1")
    harness.read(m / "db")
    m.put("db", content(2))
    m.set("db.delay", "300")
    time.sleep(1.2)
    with Hung(m / "db", CROWD) as crowd:
        assert crowd.wait(10)["ok"] == CROWD
    assert 2 <= len(m.calls("fetch", "db")) <= 3  # the last readers may come after the next ttl's end
    assert version_of(harness.read(m / "db")) == 2


def test_one_call_for_all_fields(backend):
    m = backend({"db": b'{"user":"u","password":"p"}', "db.fields": b""}, **{"as": "directory"})
    assert harness.read(m / "db/user") == b"u" and harness.read(m / "db/password") == b"p"
    assert harness.read(m / "db/.json") == b'{"user":"u","password":"p"}'
    assert sorted(os.listdir(m / "db")) in (["password", "user"], [".json", "password", "user"])
    assert m.calls("fetch") == ["fetch db"]


def test_ttl_zero_asks_at_every_open_exactly_once(backend):
    m = backend({"db": content(1)}, ttl="0")
    for n in range(1, 11):
        m.put("db", content(n))
        assert version_of(harness.read(m / "db")) == n
        assert len(m.calls("fetch", "db")) == n


def test_ttl_zero_by_ordinary_programs(backend):
    """cat opens, stats and reads to the end: one ask."""
    m = backend({"db": b"value"}, ttl="0")
    for n in range(1, 6):
        assert subprocess.check_output(["cat", m / "db"]) == b"value"
        assert len(m.calls("fetch", "db")) == n


# -- Freshness ---------------------------------------------------------------------------------------------


@pytest.mark.waits(3)
def test_within_the_ttl_nobody_asks(backend):
    m = backend({"db": content(1)}, ttl="3")
    begin = time.monotonic()
    assert version_of(harness.read(m / "db")) == 1
    m.put("db", content(2))
    while time.monotonic() < begin + 2:
        assert version_of(harness.read(m / "db")) == 1
        os.stat(m / "db")
        time.sleep(0.02)
    assert len(m.calls("fetch", "db")) == 1
    time.sleep(max(0, begin + 3.1 - time.monotonic()))
    assert version_of(harness.read(m / "db")) == 2


def test_refresh_asks_now(backend):
    m = backend({"db": content(1)}, ttl="3600")
    assert version_of(harness.read(m / "db")) == 1
    m.put("db", content(2))
    m.refresh("db")
    assert version_of(harness.read(m / "db")) == 2
    assert len(m.calls("fetch", "db")) == 2


@pytest.mark.waits(7)
def test_stale_is_served_within_resurrect_ttl_and_said(backend, open_mode):
    m = backend({"db": content(1)}, ttl="1", resurrect_ttl="3", mount_options={"deadline": "1s"})
    m.expect_log("unavailable|unreachable|UNAVAILABLE|stale|s/db")
    begin = time.monotonic()
    assert version_of(harness.read(m / "db")) == 1
    assert m.xattr("db")["stale"] in ("0", "no", "false")
    m.set("db.error", "UNAVAILABLE")
    time.sleep(1.3)
    for _ in range(5):
        assert version_of(harness.read(m / "db")) == 1
        time.sleep(0.2)
    assert m.xattr("db")["stale"] in ("1", "yes", "true")
    row = m.secret("db")
    assert row["state"] == "stale" and row["last_error"]
    if open_mode == "checked":  # elsewhere nobody sees the opens
        assert m.status()["metrics"]["hushfs_stale_opens_total"] > 0
    time.sleep(max(0, begin + 4.3 - time.monotonic()))
    assert outcome(lambda: harness.read(m / "db")) == "EHOSTDOWN"
    m.unset("db.error")
    wait_for(lambda: outcome(lambda: harness.read(m / "db")) == "ok", 15, "the value again")
    assert m.xattr("db")["stale"] in ("0", "no", "false")


@pytest.mark.waits(1.5)
def test_without_resurrect_ttl_nothing_is_stale(backend):
    m = backend({"db": content(1)}, ttl="1", resurrect_ttl="0")
    m.expect_log("unavailable|unreachable|UNAVAILABLE|s/db")
    harness.read(m / "db")
    m.set("db.error", "UNAVAILABLE")
    time.sleep(1.2)
    assert outcome(lambda: harness.read(m / "db")) == "EHOSTDOWN"


ERRNO = {
    "NOT_FOUND": "ENOENT", "DENIED": "EACCES", "AUTH": "EIO", "THROTTLED": "EAGAIN", "UNAVAILABLE": "EHOSTDOWN",
    "BACKEND": "EIO", "TIMEOUT": "ETIMEDOUT", "PROTOCOL": "EIO", "TOO_LARGE": "EFBIG", "CONFIG": "EIO",
}  # fmt: skip
DROPS = ("NOT_FOUND", "DENIED")


@pytest.mark.waits(1)
@pytest.mark.parametrize("status", ERRNO)
def test_the_errno_of_each_outcome(backend, status):
    """At open and at stat, for a secret that was never fetched; and in status and explain."""
    m = backend({"db": b"x"}, mount_options={"deadline": "1s"}, neg_ttl="1")
    m.expect_log("s/db|s$|instance=s")
    m.set("db.error", status)
    assert outcome(lambda: harness.read(m / "db")) == ERRNO[status]
    assert outcome(lambda: os.stat(m / "db")) == ERRNO[status]
    assert m.secret("db")["state"] in ("failed", "negative")
    m.unset("db.error")
    wait_for(lambda: outcome(lambda: harness.read(m / "db")) == "ok", 15, "the value")


@pytest.mark.waits(1.5)
@pytest.mark.parametrize("status", ERRNO)
def test_what_each_outcome_does_to_a_value(backend, status):
    """Refused or gone: dropped at once, and never resurrected. Anything else: served on."""
    m = backend({"db": content(1)}, ttl="1", resurrect_ttl="3600", neg_ttl="1", mount_options={"deadline": "1s"})
    m.expect_log("s/db|stale|s$|instance=s")
    harness.read(m / "db")
    m.set("db.error", status)
    time.sleep(1.2)
    if status in DROPS:
        assert outcome(lambda: harness.read(m / "db")) == ERRNO[status]
        m.set("db.error", "UNAVAILABLE")
        time.sleep(1.2)
        wait_for(lambda: outcome(lambda: harness.read(m / "db")) == "EHOSTDOWN", 5, "no resurrection")
    else:
        assert version_of(harness.read(m / "db")) == 1
        assert version_of(harness.read(m / "db")) == 1


@pytest.mark.parametrize("status", DROPS)
def test_a_refusal_acts_at_once(backend, status):
    """As soon as it is known, also on what the kernel has cached for an hour."""
    m = backend({"db": content(1)}, ttl="3600", resurrect_ttl="3600")
    m.expect_log("s/db|refresh")
    harness.read(m / "db")
    m.set("db.error", status)
    m.refresh("db", check=False)
    assert outcome(lambda: harness.read(m / "db")) == ERRNO[status]
    assert outcome(lambda: os.stat(m / "db")) == ERRNO[status]


@pytest.mark.waits(2)
def test_not_found_is_remembered_for_neg_ttl(backend):
    m = backend({".unlisted": b""}, neg_ttl="2")
    begin = time.monotonic()
    assert outcome(lambda: harness.read(m / "db")) == "ENOENT"
    asked = len(m.calls("fetch", "db"))
    assert asked == 1
    m.put("db", b"value")
    while time.monotonic() < begin + 1.5:
        assert outcome(lambda: harness.read(m / "db")) == "ENOENT"
    assert len(m.calls("fetch", "db")) == asked
    wait_for(lambda: outcome(lambda: harness.read(m / "db")) == "ok", 3, "the new secret")
    assert time.monotonic() - begin > 1.9
    assert harness.read(m / "db") == b"value"


@pytest.mark.waits(3)
def test_a_failure_is_not_a_storm(backend):
    """A failing backend is asked again with pauses, not at each open."""
    m = backend({"db": b"x", "db.error": b"UNAVAILABLE"}, mount_options={"deadline": "1s"})
    m.expect_log("s/db|unreachable|instance=s")
    end, opens = time.monotonic() + 3, 0
    while time.monotonic() < end:
        assert outcome(lambda: harness.read(m / "db")) == "EHOSTDOWN"
        opens += 1
        time.sleep(0.005)
    assert opens > 10 and len(m.calls("fetch", "db")) <= 12


def test_an_empty_secret_is_an_empty_file(backend):
    m = backend({"db": b""})
    assert harness.read(m / "db") == b"" and os.stat(m / "db").st_size == 0


# -- Listings ----------------------------------------------------------------------------------------------


def test_a_listing_never_fetches(backend):
    m = backend({f"dir/s{i}": content(1, 64) for i in range(50)} | {"top": b"x"})
    assert sorted(os.listdir(m / "")) == ["dir", "top"]
    assert len(os.listdir(m / "dir")) == 50
    assert all(e.is_file() for e in os.scandir(m / "dir"))
    subprocess.run(["find", m / "dir", "-name", "s1*"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ls", "-f", m / "dir"], check=True, stdout=subprocess.DEVNULL)
    assert m.calls("fetch") == [] and m.calls("list")


def test_stat_after_a_listing_has_the_size(backend):
    """`ls -l` of names never read shows true sizes, and reading gives the whole value."""
    m = backend({f"dir/s{i}": content(1, 100 + i) for i in range(20)})
    listing = subprocess.check_output(["ls", "-l", m / "dir"], text=True).splitlines()[1:]
    sizes = {line.split()[-1]: int(line.split()[4]) for line in listing}
    assert sizes == {f"s{i}": 100 + i for i in range(20)}
    for i in range(20):
        assert len(harness.read(m / f"dir/s{i}")) == 100 + i
    assert sorted(c for c in m.calls("fetch") if c != "fetch dir") == sorted(f"fetch dir/s{i}" for i in range(20))


def test_names_that_cannot_be_listed_are_found(backend):
    """A walk to a secret of a backend that lists nothing, through folders that nobody has named."""
    m = backend({"a/b/c/db": content(1), ".unlisted": b""})
    assert version_of(harness.read(m / "a/b/c/db")) == 1
    assert stat.S_ISREG(os.stat(m / "a/b/c/db").st_mode)
    assert stat.S_ISDIR(os.stat(m / "a/b").st_mode)


@pytest.mark.parametrize("control", ["hang", "error"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_failing_listing_hides_no_secret(backend, control, known):
    """A folder that was seen stays; one that was not may be unreachable, but is never "not there"."""
    m = backend({"dir/db": content(1), "dir/other": content(1)}, mount_options={"deadline": "1s"})
    m.expect_log("list|instance=s|unreachable|s/dir")
    if known:
        assert os.listdir(m / "dir")
        harness.read(m / "dir/other")
    m.set(f".list.{control}", "UNAVAILABLE" if control == "error" else "")
    result, seconds = timed(lambda: outcome(lambda: harness.read(m / "dir/db")))
    assert result == "ok" if known else result in ("ok", "EHOSTDOWN", "ETIMEDOUT")
    assert seconds < 1.5 * SLACK
    m.unset(f".list.{control}")
    wait_for(lambda: outcome(lambda: harness.read(m / "dir/db")) == "ok", 10, "the secret")


def test_a_slow_listing_does_not_hold_others(backend):
    m = backend({"dir/db": content(1), "top": content(1)}, mount_options={"deadline": "3s"})
    harness.read(m / "top")
    m.set(".list.delay", "1500")
    listing = threading.Thread(target=lambda: os.listdir(m / "dir"))
    listing.start()
    time.sleep(0.1)
    assert_fast(m / "top", run_ms=1000)
    listing.join()


# -- Starting without a backend ---------------------------------------------------------------------------


@pytest.mark.waits(1)
def test_the_mount_comes_up_with_its_backend_down(backend):
    m = backend(
        {"db": content(1), "db.error": b"UNAVAILABLE", ".list.error": b"UNAVAILABLE"},
        mount_options={"deadline": "1s"},
    )
    m.expect_log("instance=s|unreachable|s/db|list")
    assert outcome(lambda: harness.read(m / "db")) == "EHOSTDOWN"
    m.unset("db.error", ".list.error")
    wait_for(lambda: outcome(lambda: harness.read(m / "db")) == "ok", 10, "the value, without a restart")
    wait_for(lambda: outcome(lambda: os.listdir(m / "")) == "ok" and os.listdir(m / "") == ["db"], 10, "the list")


def test_the_mount_comes_up_with_a_hanging_backend(mount):
    begin = time.monotonic()
    m = mount(provider="test", files={"db": b"x", "db.hang": b"", ".list.hang": b""}, options={"prefetch": "yes"})
    assert time.monotonic() - begin < 5 * SLACK
    assert m.status()["instances"][0]["name"] == "s"


def test_one_bad_instance_does_not_stop_the_others(mount):
    m = mount(
        files={"db": content(1)},
        sections={"provider/bad": {"type": "file", "root": "/nonexistent/for/hushfs"}},
    )
    m.expect_log("bad")
    assert version_of(harness.read(m / "db")) == 1
    assert outcome(lambda: os.listdir(m.path / "bad")) != "ok" or os.listdir(m.path / "bad") == []
    health = {i["name"]: i for i in m.status()["instances"]}
    assert health["bad"]["last_error"] and not health["s"]["last_error"]


@pytest.mark.timeout(120)
def test_ten_thousand_parked_readers(backend):
    """Nobody else notices ten processes of a thousand (HUSHFS_QUICK: two)."""
    m = backend({"slow": b"x", "slow.hang": b"", "fast": content(1)}, mount_options={"deadline": "10s"})
    harness.read(m / "fast")
    crowd = [Hung(m / "slow", 1000) for _ in range(2 if QUICK else 10)]
    try:
        wait_for(lambda: m.calls("fetch", "slow"), 5, "the parked readers")
        time.sleep(1)
        assert_fast(m / "fast", run_ms=3000)
        assert len(m.calls("fetch", "slow")) == 1
        begin = time.monotonic()
        for hung in crowd:
            hung.process.kill()
        for hung in crowd:
            hung.kill()
        assert time.monotonic() - begin < 2 * SLACK
    finally:
        for hung in crowd:
            hung.__exit__()


@pytest.mark.waits(1)
def test_run_as_others_wait_no_longer(backend):
    """The gate does not depend on who asks."""
    m = backend({"slow": b"x", "slow.hang": b""}, mount_options={"deadline": "1s"}, mode="0644")
    m.expect_log("s/slow")
    result, seconds = timed(lambda: outcome(lambda: run_as(NOBODY, NOBODY, [], lambda: harness.read(m / "slow"))))
    assert result == "ETIMEDOUT" and 0.95 < seconds < 1.6 * SLACK


def test_prefetch(backend):
    """Everything that is listed is fetched at start, once, with nobody asking; a hung one stops no other."""
    m = backend(
        {"a": content(1), "slow": b"x", "slow.hang": b"", "dir/b": content(2), "dir/deep/c": content(3)},
        prefetch="yes",
    )
    m.expect_log("s/slow")
    names = ("a", "dir/b", "dir/deep/c")
    wait_for(lambda: all(m.calls("fetch", n) for n in names), 5, "the prefetch")
    for i, name in enumerate(names):
        assert version_of(harness.read(m / name)) == i + 1
        assert len(m.calls("fetch", name)) == 1
