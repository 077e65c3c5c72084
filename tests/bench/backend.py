# SPDX-License-Identifier: Apache-2.0
"""What a read costs that asks a real backend each time (ttl = 0): the mount against a client that sends the
same request to OpenBao over a connection that it keeps."""

import os
import sys

import targets
from measure import client

sys.path.insert(0, str(targets.HERE.parent))

from backends import Missing, openbao  # noqa: E402


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


def measure(tools, base, plan, cpu):
    """{"client": …, "hushfs": …} as client.c prints it. The server has the other CPUs."""
    try:
        with openbao.Dev() as bao:
            bao.mount_kv("kv")
            bao.put("kv", "app", {"password": "x" * 32})
            os.sched_setaffinity(bao.process.pid, os.sched_getaffinity(0) - {cpu} or {cpu})
            mount = Vault(base, tools, bao)
            try:
                mount.start()
                mount.place({cpu})
                wheres = {"client": f"http:{bao.port}:/v1/kv/data/app X-Vault-Token: {bao.token}",
                          "hushfs": mount.where("app/password")}  # fmt: skip
                return client(tools, ["-c", cpu, "-r", plan.rounds, "-m", 4 * plan.slice_ms], "read", wheres)
            finally:
                mount.stop()
    except Missing as missing:
        raise targets.Missing(str(missing)) from missing
