# SPDX-License-Identifier: Apache-2.0
"""packaging/examples at work: each configuration mounted as it is, but for its paths and its user, and
the program that it is made for uses it: nginx and PostgreSQL serve the certificate, before and after a
rotation."""

import pathlib
import shlex
import socket
import ssl
import subprocess

import harness
import pytest
from harness import SLACK, wait_for

EXAMPLES = harness.TESTS.parent / "packaging" / "examples"
ENVIRON = {"APP_DB_PASSWORD": "variable"}
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"  # of PostgreSQL's protocol


@pytest.fixture
def example(mount):
    """example(NAME): a mount of that configuration, with a store if it has one."""

    def make(name):
        m = mount(start=False, environ=ENVIRON)
        store, key = m.base / "store", m.base / "key"
        text = (EXAMPLES / name).read_text()
        for old, new in {
            "path = /run/secrets": f"path = {m.path}", "path = /run/app": f"path = {m.path}",
            "root = /run/secrets": f"root = {m.source}", "root = /etc/hushfs/app": f"root = {m.source}",
            "store = /var/lib/hushfs/store": f"store = {store}", "key_file = /etc/hushfs/store.jwk": f"key_file = {key}",
            "user = hushfs": f"user = {harness.WORKER_USER}",
        }.items():  # fmt: skip
            text = text.replace(old, new)
        m.write_config(text)
        if str(store) in text:
            m.command("store", "init", "-c", m.config, "--owner", harness.WORKER_USER)
        return m

    return make


def put_certificate(m, name):
    """As the examples say: new-certificate HOST | hushfs store put NAME."""
    made = subprocess.run([EXAMPLES / "new-certificate", "localhost"], capture_output=True, check=True, timeout=30)
    subprocess.run([m.programs / "hushfs", "store", "put", "-c", m.config, name], input=made.stdout, check=True,
                   capture_output=True, timeout=30)  # fmt: skip


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificate_of(port, greeting=b""):
    """What a server presents, PEM; None while it does not answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            if greeting:
                plain.sendall(greeting)
                assert plain.recv(1) == b"S", "the server has no TLS"
            context = ssl._create_unverified_context()
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
    except OSError:
        return None


def check_rotation(m, name, certificate, served, reload):
    """The service serves what is mounted, and after a rotation and a reload what is mounted then."""

    def mounted():
        return harness.read(certificate).decode()

    first = mounted()
    wait_for(lambda: served() == first, 20, "the certificate is served")
    put_certificate(m, name)
    wait_for(lambda: mounted() != first, 5, "the rotation")
    reload()
    wait_for(lambda: served() == mounted(), 20, "the new certificate is served")


def test_nginx(example):
    nginx = harness.require("nginx")
    m = example("nginx-sealed.conf")
    put_certificate(m, "tls/www")
    m.command("store", "put", "-c", m.config, "--generate", "db/password")
    m.start()
    port, top = free_port(), m.path / "local/tls/www"
    assert len(harness.run_as(harness.WWW, harness.WWW, [], lambda: harness.read(m.path / "local/db/password"))) == 32
    for secret in ("local/db/password", "local/tls/www/key"):
        assert harness.as_nobody(lambda: harness.outcome(lambda: harness.read(m.path / secret))) == "EACCES"
    work = m.base / "nginx"
    work.mkdir()
    paths = "".join(f"{n}_temp_path {work}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (work / "nginx.conf").write_text(
        f"pid {work}/pid; error_log {work}/log; worker_processes 1; events {{}} http {{ access_log off; {paths} server {{"
        f" listen 127.0.0.1:{port} ssl; ssl_certificate {top}/certificate; ssl_certificate_key {top}/key; }} }}"
    )
    command = [nginx, "-e", work / "log", "-c", work / "nginx.conf"]
    server = subprocess.Popen([*command, "-g", "daemon off;"])
    try:
        check_rotation(m, "tls/www", top / "certificate", lambda: certificate_of(port),
                       lambda: subprocess.run([*command, "-s", "reload"], check=True, timeout=30))  # fmt: skip
    finally:
        server.terminate()
        server.wait(timeout=30)


def postgres(m, program, *arguments):
    """Run a program of PostgreSQL as its user."""
    line = " ".join(shlex.quote(str(a)) for a in (program, *arguments))
    return subprocess.run(["runuser", "-u", "postgres", "--", "sh", "-c", f"{line} >{m.base}/pg/said 2>&1"],
                          stdin=subprocess.DEVNULL, timeout=60 * SLACK, check=True, cwd=m.base)  # fmt: skip


def test_postgresql(example):
    programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        harness.missing("PostgreSQL")
    m = example("postgresql-key.conf")
    put_certificate(m, "postgresql")
    m.start()
    port, top = free_port(), m.path / "local/postgresql"
    data = m.base / "pg/data"
    subprocess.run(["install", "-d", "-o", "postgres", "-m", "700", data.parent], check=True)
    postgres(m, programs[-1] / "initdb", "--no-sync", "-D", data)
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nfsync = off\nssl = on\n"
                   f"ssl_cert_file = '{top}/certificate'\nssl_key_file = '{top}/key'\n")  # fmt: skip
    control = [programs[-1] / "pg_ctl", "-D", data]
    postgres(m, *control, "-l", data / "log", "-w", "start")
    try:
        check_rotation(m, "postgresql", top / "certificate", lambda: certificate_of(port, SSL_REQUEST),
                       lambda: postgres(m, *control, "reload"))  # fmt: skip
    finally:
        postgres(m, *control, "-m", "fast", "-w", "stop")


def test_env(example):
    m = example("env.conf").start()
    secret = m.path / "env/db-password"
    assert harness.run_as(harness.WWW, harness.WWW, [], lambda: harness.read(secret)) == b"variable"
    assert harness.as_nobody(lambda: harness.outcome(lambda: harness.read(secret))) == "EACCES"


def test_docker_secrets(example):
    m = example("docker-secrets.conf")
    m.put("db-password", b"one")
    m.put("db-admin-password", b"root's")
    m.start()
    secret, admin = m.path / "files/db-password", m.path / "files/db-admin-password"
    as_www = lambda path: harness.run_as(harness.WWW, harness.WWW, [], lambda: harness.outcome(lambda: harness.read(path)))  # noqa: E731
    assert (as_www(secret), as_www(admin)) == ("ok", "EACCES")
    assert harness.read(admin) == b"root's"
    m.put("db-password", b"two")
    wait_for(lambda: harness.read(secret) == b"two", 2, "a file that was replaced")


def test_some_of_everything(example):
    if subprocess.run(["getent", "group", "ssl-cert"], capture_output=True).returncode != 0:
        harness.missing("the group ssl-cert of Debian's package ssl-cert")
    m = example("hushfs.conf")
    m.put("tls/key", b"key")
    m.start()
    assert harness.read(m.path / "app/tls/key") == b"key"
    assert harness.read(m.path / "env/db-password") == b"variable"


def test_no_example_is_left_out():
    """A new one gets a test here."""
    tested = pathlib.Path(__file__).read_text()
    for file in EXAMPLES.glob("*.conf"):
        assert f'example("{file.name}")' in tested, file.name
