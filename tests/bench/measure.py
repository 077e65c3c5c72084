# SPDX-License-Identifier: Apache-2.0
"""Runs client.c over the targets, and what needs no client: memory, the time until a mount answers.
The results are plain dictionaries: see results() in run."""

import json
import os
import statistics
import subprocess
import time

from targets import COUNTS, SIZES, Idle, hurry

# operation, of which file, what it is called in the report; "services": those that are no file systems too
LATENCIES = (
    *((f"read {size}", "read", f"f{size}", True) for size in SIZES),
    ("end 4096", "end", "f4096", False),
    *((f"map {size}", "map", f"f{size}", False) for size in SIZES),
    ("stat", "stat", "f4096", False),
    *((f"list {count}", "list", f"d{count}", False) for count in COUNTS),
)
CLIENTS = (1, 2, 8)
FIRST_OPENS, FIRST_ROUNDS = 20, 40  # of the 1,000 files of d1000
OPENS_BEFORE_RSS = 10_000


class Plan:
    """How long to measure."""

    def __init__(self, quick):
        self.rounds, self.slice_ms = (5, 4) if quick else (41, 12)
        self.rate_rounds, self.rate_ms = (2, 20) if quick else (9, 100)
        self.first_rounds = 4 if quick else FIRST_ROUNDS
        self.mounts = 2 if quick else 9
        self.requests = 200 if quick else 2000  # of curl, in one process


def client(tools, options, operation, wheres):
    """{target name: {…}}, as client.c prints it."""
    command = [tools["client"], *options, operation, *(f"{name}={where}" for name, where in wheres.items())]
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, timeout=600,
                          start_new_session=True, preexec_fn=lambda: hurry(os.getpid()))  # fmt: skip
    return json.loads(done.stdout)


def latency(tools, targets, plan, cpu, only=None):
    """Client and server on one CPU: what the software costs, without the machine's way to wake another."""
    for target in targets:
        target.place({cpu})
    found = {}
    for key, operation, name, services in LATENCIES:
        if only and not key.startswith(only):
            continue
        wheres = {t.name: t.where(name) for t in targets if services or t.files}
        if wheres:
            options = ["-c", cpu, "-r", plan.rounds, "-m", plan.slice_ms]
            found[key] = client(tools, options, operation, wheres)
    return found


def first(tools, targets, plan, cpu):
    """Each file once: a secret that nobody has asked for yet. Which of them are not cached is the target's matter."""
    wheres = {t.name: t.where("d1000") for t in targets if t.files}
    return client(tools, ["-c", cpu, "-r", plan.first_rounds, "-k", FIRST_OPENS], "first", wheres) if wheres else {}


def rate(tools, targets, plan):
    """Operations per second of so many clients, wherever the scheduler puts them."""
    cpus = os.sched_getaffinity(0)
    for target in targets:
        target.place(cpus)
    wheres = {t.name: t.where("f4096") for t in targets}
    found = {}
    for clients in CLIENTS:
        options = ["-n", clients, "-r", plan.rate_rounds, "-m", plan.rate_ms]
        found[str(clients)] = client(tools, options, "read", wheres)
    return found


def memory(pid):
    """Resident memory in KiB: all, and what of it is neither shared nor a file's."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        rows = dict(line.split(":", 1) for line in f if line.startswith(("VmRSS", "RssAnon", "RssFile", "RssShmem")))
    return {name: int(value.split()[0]) for name, value in rows.items()}


def mount_once(mount, again):
    """Seconds from the command to the first byte of a secret."""
    begin = time.monotonic()
    if again:
        mount.mount()
    else:
        mount.start()
    (mount.path / "s" / "f4096").read_bytes()
    return time.monotonic() - begin


def idle(tools, base, plan):
    """What a mount takes: the time until it answers, the memory of its processes."""
    mount = Idle(base, tools)
    times = []
    try:
        for i in range(plan.mounts):
            times.append(mount_once(mount, i > 0))
            subprocess.run([mount.programs / "hushfs", "umount", mount.path], check=True, timeout=30)
        mount.mount()
        processes = mount.processes()
        before = {name: memory(pid) for name, pid in processes.items()}
        client(tools, ["-r", 1, "-k", OPENS_BEFORE_RSS], "read", {"hushfs": mount.where("f4096")})
        after = {name: memory(pid) for name, pid in processes.items()}
    finally:
        mount.stop()
    return {
        "mount_ms": [round(t * 1000, 1) for t in times],
        "mount_median_ms": round(statistics.median(times) * 1000, 1),
        "memory_kib": {"after the mount": before, f"after {OPENS_BEFORE_RSS:,} opens": after},
    }
