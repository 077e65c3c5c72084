# SPDX-License-Identifier: Apache-2.0
"""What the tests of the provider `vault` stand on: a real OpenBao for the session, mounts of it, logins."""

import contextlib
import itertools
import os
import secrets
import sys
import time

import harness
import pytest
from harness import DAEMON, Mount, wait_for

sys.path.insert(0, str(harness.TESTS))

from backends import Missing, keys, openbao, postgres, tokenreview  # noqa: E402


@contextlib.contextmanager
def backend(make):
    """A server of tests/backends for as long as it is wanted."""
    try:
        with make() as server:
            yield server
    except Missing as missing:
        harness.missing(str(missing))


@pytest.fixture(scope="session")
def bao():
    """Shared: nobody may seal or stop it."""
    with backend(openbao.Dev) as server:
        seed(server)
        yield server


@pytest.fixture(scope="session")
def bao_tls():
    with backend(lambda: openbao.Dev(tls=True)) as server:
        seed(server)
        yield server


@pytest.fixture(scope="module")
def own_bao():
    """To be sealed, stopped and throttled by one module."""
    with backend(openbao.Dev) as server:
        seed(server)
        yield server


@pytest.fixture(scope="session")
def pg():
    with backend(postgres.Postgres) as server:
        yield server


@pytest.fixture(scope="session")
def review(signer):
    with tokenreview.TokenReview(signer) as server:
        yield server


@pytest.fixture(scope="session")
def signer(tmp_path_factory):
    return keys.Signer(tmp_path_factory.mktemp("jwt"))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return keys.Authority(tmp_path_factory.mktemp("ca"))


def seed(server):
    """A KV mount of each version with one secret, and a policy that reads them."""
    server.mount_kv("kv1", 1)
    server.mount_kv("kv2", 2)
    server.policy("reader", {"kv1/*": "read,list", "kv2/data/*": "read", "kv2/metadata/*": "read,list"})
    for version in (1, 2):
        server.put(f"kv{version}", "app", {"user": "alice", "password": "s3cret"}, version)


_names = (f"n{i}" for i in itertools.count(1))


def fresh():
    """A name that no other test uses."""
    return next(_names)


class VaultMount(Mount):
    """One mount with the instance `v` of the type vault, on `server` (None: url is among the options).

    token    what it logs in with ("" for none); more sections as with Mount, by instance() for instance
    """

    def __init__(self, server, token=None, sections=None, **more):
        options = more.pop("options", None) or {}
        super().__init__(sections=sections, **more)
        del self.sections["provider/s"]
        self.server, self.token = server, token
        self.instance("v", **options)

    def instance(self, name, **options):
        """The section [provider/NAME]; it takes effect with the next start() or reload()."""
        keys_ = {"type": "vault", "mount": "kv2", **options}
        if self.server:
            keys_ = {"url": self.server.url, **keys_}
        if self.token:
            keys_ = {"token_file": self.credential("token", self.token), **keys_}
        self.sections[f"provider/{name}"] = {k: v for k, v in keys_.items() if v is not None}
        self.write_config()

    def credential(self, name, text):
        """A file that only the worker's user can read, replaced atomically."""
        path = self.base / name
        draft = self.base / "stage" / name
        draft.write_text(text)
        draft.chmod(0o400)
        os.chown(draft, DAEMON, DAEMON)
        os.rename(draft, path)
        return path

    def __truediv__(self, name):
        return self.path / "v" / name

    def text(self, name):
        return harness.read(self / name).decode()

    def outcome(self, name):
        return harness.outcome(lambda: harness.read(self / name))

    def secret(self, name):
        rows = [s for s in self.status()["secrets"] if s["path"] == f"v/{name}"]
        return rows[0] if rows else None

    def health(self, name="v"):
        return next(i for i in self.status()["instances"] if i["name"] == name)

    def why(self, name):
        """The last error that the status tells of a secret, or of the instance."""
        row = self.secret(name) or {}
        return row.get("last_error") or self.health()["last_error"] or ""

    def kill_worker(self):
        """SIGKILL, and wait for the next one."""
        self.expect_log("worker")
        old = self.kill("worker")
        wait_for(lambda: self.pids().get("worker") not in (None, old), 10, "a new worker")


@pytest.fixture
def vault(mount):
    """A factory of VaultMounts: vault(server, token=…, options={…})."""
    return lambda *args, **more: mount(*args, kind=VaultMount, **more)


@pytest.fixture(scope="module")
def module_vault(module_mount):
    return lambda *args, **more: module_mount(*args, kind=VaultMount, **more)


def token_for(server, *policies, **more):
    """A token with these policies."""
    return server.new_token(policies=list(policies) or ["reader"], **more)


class Counter:
    """What a server was asked since this was made."""

    def __init__(self, server):
        self.server, self.since = server, server.audit_end()

    def __call__(self, path, operation=None):
        return self.server.requests(path, operation, self.since)

    def all(self):
        """{path: count}, without what the tests ask themselves."""
        found = {}
        for request in self.server.audit(self.since):
            found[request["path"]] = found.get(request["path"], 0) + 1
        return found

    def logins(self, path):
        """Requests below auth/PATH/login."""
        return sum(n for p, n in self.all().items() if p.startswith(f"auth/{path}/login"))


def canary():
    """A text that stands nowhere by accident."""
    return f"canary-{secrets.token_hex(20)}"


def sleep_until(end):
    time.sleep(max(0, end - time.monotonic()))
