# SPDX-License-Identifier: Apache-2.0
"""What a mount that nobody reads costs: threads that wake up for nothing keep a machine from sleeping."""

import os
import re
import select
import subprocess
import threading
import time

import pytest
from harness import BIN, QUICK, WORKER_USER, read
from vault_logins import Approle

SETTLE_SECONDS = 2
# A second: the timer's look at all items, and at whether the root of a file provider or a sealed store is
# another directory now. All else waits for what it waits for.
WAKE_UPS = {"worker": 3, "mover": 0, "keeper": 0}
MORE = 2  # of other causes, in the mean


def switches(pid):
    """{thread: how often it has gone to sleep} of the process."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as status:
            found[thread] = int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read(), re.M)[1])
    return found


class MountChanges(threading.Thread):
    """How often the machine's mounts changed, of which the keeper wants to hear."""

    def __init__(self):
        super().__init__(daemon=True)
        self.count, self.ending = 0, os.eventfd(0)

    def run(self):
        with open("/proc/self/mountinfo", "rb") as mountinfo:
            changes = select.poll()
            changes.register(mountinfo, select.POLLPRI)
            changes.register(self.ending, select.POLLIN)
            while all(fd != self.ending for fd, _ in changes.poll()):
                self.count += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        os.eventfd_write(self.ending, 1)
        self.join()
        os.close(self.ending)


def wake_ups(pids, seconds):
    """{process: wake-ups a second} without anybody asking the mount for anything."""
    with MountChanges() as changes:
        before = {name: switches(pid) for name, pid in pids.items()}
        begin = time.monotonic()
        time.sleep(seconds)
        found = {name: switches(pid) for name, pid in pids.items()}
        lasted = time.monotonic() - begin
    counts = {name: sum(n - before[name].get(thread, 0) for thread, n in found[name].items()) for name in pids}
    # Twice: it reads the table, which another one may be changing.
    counts["keeper"] = max(0, counts["keeper"] - 2 * changes.count)
    return {name: n / lasted for name, n in counts.items()}


def sealed(m):
    """The section of a sealed store with one secret, whose files belong to the worker."""
    store, key = m.base / "store", m.base / "key"
    where = ["--store", str(store), "--key-file", str(key)]
    for command, *more in ("init", "--owner", WORKER_USER), ("put", "one"):
        subprocess.run([BIN / "hushfs", "store", command, *where, *more], input=b"sealed", check=True, timeout=30,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    return {"type": "sealed", "store": store, "key_file": key}


@pytest.mark.counts_wakeups
@pytest.mark.timeout(90)
def test_an_idle_mount_sleeps(bao, vault, open_mode):
    """One instance of each provider, each of which was read; the token of vault's is a login's, so that it is
    to be renewed."""
    m = vault(bao, start=False, mount_options={"open": open_mode})
    m.instance("v", **Approle(bao, token_ttl="1h").options(m))
    m.environ["IDLE_ONE"] = "from the environment"
    m.put("one", b"from a file")
    m.sections |= {
        "provider/e": {"type": "env", "prefix": "idle-"},
        "provider/f": {"type": "file", "root": m.source},
        "provider/s": sealed(m),
    }
    m.write_config()
    m.start()
    assert m.text("app/password") == "s3cret"
    assert [read(m.path / p) for p in ("e/one", "f/one", "s/one")] == [b"from the environment", b"from a file", b"sealed"]
    time.sleep(SETTLE_SECONDS)
    found = wake_ups(m.pids(), 4 if QUICK else 10)
    assert found.keys() == WAKE_UPS.keys()
    assert all(found[name] <= WAKE_UPS[name] + MORE for name in WAKE_UPS), found
