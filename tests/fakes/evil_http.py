#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP servers that misbehave, for tests/unit/test_http*.c.

evil_http.py DIR: make certificates in DIR, listen on ports of 127.0.0.1, print one line
"NAME=PORT …" and serve until standard input ends. What a server does is the path's matter.
"""
import gzip
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

NEEDLE_SIZE = 64
state = {"connections": 0, "requests": 0, "stolen": 0, "died": 0, "posts": 0}
lock = threading.Lock()
ports = {}


def count(name):
    with lock:
        state[name] += 1
        return state[name]


def needle():
    """As in the tests: what must not stay in memory."""
    return bytes(ord("a") + (i * 11 + i // 26 + (i * i) % 7) % 26 for i in range(NEEDLE_SIZE))


def answer(body, status="200 OK", *headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def forever(c, piece, pause=0.0):
    while True:
        c.sendall(piece)
        time.sleep(pause)


def chunks(c, size, times):
    c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(times):
        c.sendall(b"%x\r\n" % size + b"a" * size + b"\r\n")
    c.sendall(b"0\r\n\r\n")


def drip(c):
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    forever(c, b"a", 0.05)


def endless_headers(c):
    c.sendall(b"HTTP/1.1 200 OK\r\n")
    forever(c, b"X-More: " + b"b" * 1000 + b"\r\n")


def endless_line(c):
    c.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    forever(c, b"b" * 65536)


def wait_for_end(c):
    while c.recv(65536):
        pass


# What is sent, and whether the connection lives on.
def raw(data):
    return lambda c, request: c.sendall(data)


BEHAVIOURS = {
    "short": raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":"partial'),
    "short-chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    "nolen": raw(b'HTTP/1.1 200 OK\r\n\r\n{"a":"trunc'),
    "lenbig": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000000\r\n\r\n" + b"a" * 1000),
    "garbage": raw(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\0\1\2" * 100),
    "http09": raw(b"plain words without any header"),
    "badchunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"),
    "close": raw(b""),
    "chunkbig": lambda c, r: chunks(c, 65536, 3000),
    "headers": lambda c, r: endless_headers(c),
    "line": lambda c, r: endless_line(c),
    "continue": lambda c, r: forever(c, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drip": lambda c, r: drip(c),
    "hang": lambda c, r: wait_for_end(c),
}


def redirect(target):
    return answer(b"", "307 Temporary Redirect", f"Location: {target}")


def keep(path, request):
    """The answer after which the connection lives on, or None."""
    name, _, rest = path[1:].partition("/")
    if name == "ok":
        return answer(b"ok")
    if name == "echo":
        return answer(request, "200 OK", "Content-Type: text/plain")
    if name == "empty":
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    if name == "needle":
        return answer(needle() * int(rest or 1))
    if name == "chunked":
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" \
            b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
    if name == "early":
        return b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" + answer(b"ok")
    if name == "status":
        code, _, retry = rest.partition("/")
        headers = ["Retry-After: " + retry.replace("_", " ")] if retry else []
        return answer(b"CANARY", code + " Some Text", *headers)
    if name == "redir":
        return redirect(f"http://127.0.0.1:{ports['other']}/stolen")
    if name == "redirfile":
        return redirect("file:///etc/passwd")
    if name == "gzip":
        return answer(gzip.compress(bytes(50_000_000)), "200 OK", "Content-Encoding: gzip")
    if name == "count":
        return answer(str(state[rest]).encode())
    return None


def read_request(c, rest):
    while b"\r\n\r\n" not in rest:
        data = c.recv(65536)
        if not data:
            return None, b""
        rest += data
        if rest[:1] == b"\x16":  # TLS
            c.sendall(answer(b"", "400 Bad Request"))
            return None, b""
    head, rest = rest.split(b"\r\n\r\n", 1)
    if b" /slam " in head:  # leave without reading what follows
        return None, b""
    found = re.search(rb"\r\nContent-Length: *(\d+)", head, re.I)
    size = int(found.group(1)) if found else 0
    while len(rest) < size:
        data = c.recv(65536)
        if not data:
            return None, b""
        rest += data
    return head + b"\r\n\r\n" + rest[:size], rest[size:]


def serve_requests(c, port_name):
    rest, dies = b"", False
    while True:
        request, rest = read_request(c, rest)
        if request is None:
            return
        if port_name == "other" and b"CANARY" in request:
            count("stolen")
        method, path = request.decode("latin1").split(" ")[:2]
        if dies:  # read, perhaps acted on, never answered
            count("died")
            return
        if not path.startswith("/count"):
            count("requests")
        dies = path == "/ok/then-die"
        data = keep(path, request)
        if data is None:
            BEHAVIOURS[path[1:].split("/")[0]](c, request)
            return
        c.sendall(data if method != "HEAD" else data.split(b"\r\n\r\n")[0] + b"\r\n\r\n")
        if path == "/ok/then-close":
            return


def serve_connection(c, port_name, context):
    try:
        count("connections")
        if context is not None:
            c = context.wrap_socket(c, server_side=True)
        serve_requests(c, port_name)
    except OSError:
        pass  # what the client does about it is the test's matter
    finally:
        c.close()


def listen(name, context=None):
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    ports[name] = server.getsockname()[1]

    def loop():
        while True:
            c, _ = server.accept()
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve_connection, args=(c, name, context), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


# -- Certificates ----------------------------------------------------------------------------------


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_ca(directory, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "30", "-subj", f"/CN={name}", "-keyout", f"{directory}/{name}.key",
            "-out", f"{directory}/{name}.pem")


def make_certificate(directory, name, alt, days="30"):
    """Signed by the authority "ca"."""
    base = f"{directory}/{name}"
    with open(base + ".ext", "w", encoding="ascii") as f:
        f.write(f"subjectAltName={alt}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", base + ".key", "-out", base + ".csr")
    openssl("x509", "-req", "-in", base + ".csr", "-CA", f"{directory}/ca.pem",
            "-CAkey", f"{directory}/ca.key", "-CAcreateserial", "-days", days,
            "-extfile", base + ".ext", "-out", base + ".pem")


def tls(directory, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/{name}.pem", f"{directory}/{name}.key")
    return context


def start_tls(directory):
    make_ca(directory, "ca")
    make_ca(directory, "stranger")
    make_certificate(directory, "good", "DNS:localhost,IP:127.0.0.1")
    make_certificate(directory, "named", "DNS:vault.example")
    make_certificate(directory, "expired", "DNS:localhost,IP:127.0.0.1", "-1")
    make_certificate(directory, "client", "DNS:client")
    for name in ("good", "named", "expired"):
        listen(name, tls(directory, name))
    old = tls(directory, "good")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    listen("old", old)
    mutual = tls(directory, "good")
    mutual.verify_mode = ssl.CERT_REQUIRED
    mutual.load_verify_locations(f"{directory}/ca.pem")
    listen("mutual", mutual)


# -- HTTP/2 ----------------------------------------------------------------------------------------

NGINX = """
daemon off; {user} pid {d}/nginx.pid; error_log {d}/nginx.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
  uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {d}/good.pem; ssl_certificate_key {d}/good.key;
    root {d}/www; default_type text/plain;
    location /protocol {{ return 200 $server_protocol; }}
  }}
}}
"""


def start_nginx(directory):
    """None if there is none."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        return None
    with socket.create_server(("127.0.0.1", 0)) as s:
        ports["h2"] = s.getsockname()[1]
    os.mkdir(f"{directory}/www")
    with open(f"{directory}/www/needle", "wb") as f:
        f.write(needle() * 1000)
    with open(f"{directory}/nginx.conf", "w", encoding="ascii") as f:
        f.write(NGINX.format(d=directory, port=ports["h2"], user="user root;" if os.getuid() == 0 else ""))
    child = subprocess.Popen([program, "-e", f"{directory}/nginx.log", "-c",
                              f"{directory}/nginx.conf"])
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", ports["h2"])).close()
            return child
        except OSError:
            time.sleep(0.05)
    sys.exit("nginx did not start")


def main():
    directory = sys.argv[1]
    with socket.create_server(("127.0.0.1", 0)) as s:
        ports["closed"] = s.getsockname()[1]  # nobody listens there
    listen("plain")
    listen("other")
    start_tls(directory)
    nginx = start_nginx(directory)
    print(" ".join(f"{name}={port}" for name, port in ports.items()), flush=True)
    sys.stdin.read()
    if nginx is not None:
        nginx.terminate()
        nginx.wait()


main()
