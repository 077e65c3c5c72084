# SPDX-License-Identifier: Apache-2.0
"""What a read costs that asks a real backend each time (ttl = 0): the mount against the program curl, which sends
the same request to OpenBao again and again over one connection. A client of our own, which is nothing but a socket,
tells what of that is the server's."""

import os
import shutil
import statistics
import subprocess
import sys
import time

import targets
from measure import client

sys.path.insert(0, str(targets.HERE.parent))

from backends import Missing, openbao  # noqa: E402

TIMES = ("mean_ns", "median_ns", "p99_ns", "per_s")


class Vault(targets.Hushfs):
    name = "vault"

    def __init__(self, base, tools, bao):
        super().__init__(base, tools)
        self.bao = bao

    def sections(self):
        token = self.base.with_suffix(".token")
        token.write_text(self.bao.token)
        token.chmod(0o444)
        return (f"[provider/s]\ntype = vault\nurl = {self.bao.url}\nmount = kv\nkv = v2\n"
                f"token_file = {token}\nttl = 0\n")  # fmt: skip


class Curl:
    """curl as a program: one process, the same URL so many times, the answers into /dev/null."""

    def __init__(self, base, url, token, cpu):
        self.program = shutil.which("curl")
        if self.program is None:
            raise targets.Missing("no curl")
        self.base, self.url, self.token, self.cpu = base, url, token, cpu

    def config(self, name, count, *more):
        """The token is in a file, nobody else's to read: a command line is everybody's."""
        path = self.base / name
        rows = ["silent", "fail", 'noproxy = "*"', f'header = "X-Vault-Token: {self.token}"', *more,
                *[f'url = "{self.url}"'] * count]  # fmt: skip
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as f:
            f.write("\n".join(rows) + "\n")
        return path

    def prepare(self):
        targets.hurry(os.getpid())
        os.sched_setaffinity(0, {self.cpu})

    def run(self, config, errors=subprocess.DEVNULL):
        """Seconds from its start to its end."""
        begin = time.monotonic()
        subprocess.run([self.program, "-q", "-K", config], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=errors, timeout=60, start_new_session=True,
                       preexec_fn=self.prepare)  # fmt: skip
        return time.monotonic() - begin


class CurlRounds:
    """The two that are measured: the whole of many requests, and what curl says of each of some."""

    def __init__(self, curl, count):
        self.curl, self.count, self.each = curl, count, count // 4
        self.plain = curl.config("curl.conf", self.count)
        self.told = curl.config("curl-each.conf", self.each,
                                'write-out = "%{stderr}%{time_total} %{num_connects}\\n"')  # fmt: skip
        self.times = curl.base / "curl.times"

    def transfers(self):
        """time_total of each in ns, sorted."""
        with open(self.times, "wb") as times:
            self.curl.run(self.told, times)
        rows = [row.split() for row in self.times.read_text(encoding="utf-8").splitlines()]
        if len(rows) != self.each or sum(int(connects) for _, connects in rows) != 1:
            raise SystemExit("curl: not every answer came over one connection")
        return sorted(float(total) * 1e9 for total, _ in rows)

    def run(self):
        """As client.c tells of a round."""
        found = self.transfers()
        most = found[: len(found) - len(found) // 10]  # see mean() in client.c
        return {"operations": self.count, "mean_ns": [statistics.fmean(most)],
                "median_ns": [found[len(found) // 2]], "p99_ns": [found[len(found) * 99 // 100]],
                "per_s": [self.count / self.curl.run(self.plain)]}  # fmt: skip


def rounds(tools, plan, cpu, curl, wheres):
    """{"curl": …, "client": …, "hushfs": …}: in each round all three, curl first in one and last in the next."""
    found = {}
    for i in range(plan.rounds):
        parts = [lambda: {"curl": curl.run()},
                 lambda: client(tools, ["-c", cpu, "-r", 1, "-m", 8 * plan.slice_ms], "read", wheres)]  # fmt: skip
        for part in parts if i % 2 == 0 else reversed(parts):
            for name, values in part().items():
                all_ = found.setdefault(name, {"operations": 0, **{key: [] for key in TIMES}})
                all_["operations"] += values["operations"]
                for key in TIMES:
                    all_[key] += values[key]
    return found


def measure(tools, base, plan, cpu):
    """The server has the other CPUs."""
    try:
        with openbao.Dev() as bao:
            bao.mount_kv("kv")
            bao.put("kv", "app", {"password": "x" * 32})
            for tid in targets.threads_of(bao.process.pid):
                os.sched_setaffinity(tid, os.sched_getaffinity(0) - {cpu} or {cpu})
            mount = Vault(base, tools, bao)
            try:
                mount.start()
                mount.place({cpu})
                curl = CurlRounds(Curl(base, f"{bao.url}/v1/kv/data/app", bao.token, cpu), plan.requests)
                wheres = {"client": f"http:{bao.port}:/v1/kv/data/app X-Vault-Token: {bao.token}",
                          "hushfs": mount.where("app/password")}  # fmt: skip
                return rounds(tools, plan, cpu, curl, wheres)
            finally:
                mount.stop()
    except Missing as missing:
        raise targets.Missing(str(missing)) from missing
