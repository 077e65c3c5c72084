# SPDX-License-Identifier: Apache-2.0
"""Certificates of OpenBao's PKI engine as files: a certificate and its key always belong together, and
nginx serves them through rotations."""

import os
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import harness
import pytest
from harness import QUICK, read, wait_for
from vault_fixtures import Counter, fresh, token_for

HOST = "www.example.test"


@pytest.fixture(scope="module")
def pki(bao):
    bao.mount("pki", "pki", config={"max_lease_ttl": "8760h"})
    bao.write("pki/root/generate/internal", {"common_name": "Root CA", "ttl": "8000h", "key_type": "ec", "key_bits": 256})
    bao.policy("issue", {"pki/issue/*": "update", "pki/roles": "list"})
    return bao


@pytest.fixture(scope="module")
def root(pki):
    return pki.read("pki/ca/pem", token="").text


@pytest.fixture
def certificates(vault, pki):
    """A factory: (mount, role). Certificates live for so many seconds."""

    def make(life, **params):
        role = fresh()
        pki.write(f"pki/roles/{role}", {"allowed_domains": "example.test", "allow_subdomains": True, "ttl": life,
                                        "max_ttl": "72h", "key_type": "ec", "key_bits": 256})  # fmt: skip
        params = {"common_name": HOST, **params}
        m = vault(pki, token=token_for(pki, "issue", period="1h"), options={"engine": "pki", "mount": "pki"},
                  sections={f"path/v/{role}": {f"param.{k}": v for k, v in params.items()}})  # fmt: skip
        return m, role

    return make


def pair(mount, role):
    """(certificate, key) through one open directory."""
    fd = os.open(mount / role, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read("certificate", dir_fd=fd), read("private_key", dir_fd=fd)
    finally:
        os.close(fd)


def match(certificate, key):
    """OpenSSL takes them as a pair."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key + b"\n")
        file.flush()
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file.name)
            return True
        except ssl.SSLError:
            return False


def test_one_certificate_for_all(certificates, pki, root):
    m, role = certificates("1h")
    count = Counter(pki)
    certificate, key = pair(m, role)
    assert match(certificate, key)
    for _ in range(5):
        assert pair(m, role) == (certificate, key)
    assert read(m / f"{role}/issuing_ca").strip() == root.strip().encode()
    text = subprocess.run(["openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName"], input=certificate,
                          capture_output=True, check=True, timeout=30).stdout.decode()  # fmt: skip
    assert HOST in text
    assert count(f"pki/issue/{role}") == 1


def test_parameters_of_the_path_rule(certificates):
    m, role = certificates("1h", alt_names="a.example.test,b.example.test", ttl="10m")
    certificate, _ = pair(m, role)
    text = subprocess.run(["openssl", "x509", "-noout", "-text"], input=certificate, capture_output=True, check=True,
                          timeout=30).stdout.decode()  # fmt: skip
    assert "a.example.test" in text and "b.example.test" in text


def test_a_name_that_is_not_allowed(certificates):
    m, role = certificates("1h", common_name="other.domain")
    m.expect_log("v/n|instance=v")
    assert m.outcome(f"{role}/certificate") == "EACCES"


@pytest.mark.waits(13)
def test_certificate_and_key_match_through_rotations(certificates, pki):
    m, role = certificates("4s")
    count = Counter(pki)
    seen = set()
    rounds, begin = (60 if QUICK else 200), time.monotonic()
    for i in range(rounds):
        certificate, key = pair(m, role)
        assert match(certificate, key), f"round {i}"
        seen.add(certificate)
        time.sleep((6 if QUICK else 12) / rounds)
    assert len(seen) >= 2
    assert count(f"pki/issue/{role}") <= (time.monotonic() - begin) / 1 + 1


NGINX = """
daemon off; master_process on; worker_processes 1; user root;
pid {base}/nginx.pid; error_log {base}/error.log notice;
events {{ worker_connections 64; }}
http {{
    access_log off; ssl_session_cache off; ssl_session_tickets off;
    client_body_temp_path {base}/t1; proxy_temp_path {base}/t2; fastcgi_temp_path {base}/t3;
    uwsgi_temp_path {base}/t4; scgi_temp_path {base}/t5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {secret}/certificate; ssl_certificate_key {secret}/private_key;
        location / {{ return 204; }}
    }}
}}
"""


class Nginx:
    """Reloads when the name of the secret is replaced, as any rotation script does."""

    def __init__(self, base, secret):
        self.base, self.secret = base, secret
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        base.mkdir()
        (base / "nginx.conf").write_text(NGINX.format(base=base, port=self.port, secret=secret))
        self.process = subprocess.Popen([harness.require("nginx"), "-c", base / "nginx.conf", "-p", base, "-e", base / "error.log"],
                                        stdin=subprocess.DEVNULL)  # fmt: skip
        self.reloads, self.stopping = 0, threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        with harness.Inotify(self.secret.parent) as inotify:
            while not self.stopping.is_set():
                if any(name == self.secret.name for _, _, name in inotify.events(0.2)):
                    self.process.send_signal(signal.SIGHUP)
                    self.reloads += 1

    def start(self):
        wait_for(self.listens, 10, "nginx")
        self.watcher.start()
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.stopping.set()
        self.watcher.join()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


def served(port, context):
    """The serial number of the certificate that a verified handshake saw."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname=HOST) as tls:
            return tls.getpeercert()["serialNumber"]


def test_nginx_serves_through_rotations(certificates, root):
    """A verifying client sees no failed handshake, though each certificate lives for seconds."""
    m, role = certificates("10s")
    pair(m, role)
    context = ssl.create_default_context(cadata=root)
    nginx = Nginx(m.base / "nginx", m / role)
    try:
        nginx.start()
        seen, handshakes, begin = set(), 0, time.monotonic()
        while time.monotonic() < begin + (12 if QUICK else 22):
            seen.add(served(nginx.port, context))  # raises if it does not verify
            handshakes += 1
            time.sleep(0.02)
    finally:
        nginx.stop()
    print(len(seen), "certificates", handshakes, "handshakes", nginx.reloads, "reloads")
    assert len(seen) >= 2 and nginx.reloads >= 1 and handshakes > 100
    assert "emerg" not in (m.base / "nginx" / "error.log").read_text()
