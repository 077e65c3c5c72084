# SPDX-License-Identifier: Apache-2.0
"""A server that speaks enough of KV v2 to be asked, and then does what the real one cannot be made to do.
How it answers is set for each secret: server.how["NAME"] = ANSWERS' key."""

import json
import socket
import threading
import time

GOOD = {"data": {"data": {"a": "good"}, "metadata": {"version": 1, "created_time": "2026-01-01T00:00:00Z",
                                                      "deletion_time": "", "destroyed": False}}}  # fmt: skip
MANY = 64 << 20


def response(body, code="200 OK", kind="application/json", headers=(), size=None):
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {code}", f"Content-Type: {kind}", f"Content-Length: {len(body) if size is None else size}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def good(c):
    c.send(response(json.dumps(GOOD)))


def raw(text):
    return lambda c: c.send(response(text))


def data(value):
    """The secret is this."""
    return raw(json.dumps({"data": {"data": value, "metadata": GOOD["data"]["metadata"]}}))


def refused(code, *headers, kind="text/html"):
    return lambda c: c.send(response("<html>no</html>", code, kind, headers))


def redirect(code):
    """To where the token must not be sent."""
    return lambda c: c.send(response("", code, headers=[f"Location: {c.server.trap.url}/v1/kv/data/a"]))


def truncated(c):
    c.send(response(json.dumps(GOOD)[:-20], size=1000))
    c.close()


def endless_chunks(c):
    c.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(MANY >> 16):
        c.send(b"10000\r\n" + b" " * 65536 + b"\r\n")


def endless_headers(c):
    c.send(b"HTTP/1.1 200 OK\r\n")
    for i in range(MANY >> 10):
        c.send(b"X-%08d: " % i + b"x" * 1000 + b"\r\n")


def drip(c):
    for byte in response(json.dumps(GOOD)):
        c.send(bytes([byte]))
        time.sleep(0.2)


def bad_chunks(c):
    c.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n")
    c.close()


def no_http(c):
    c.send(b"SSH-2.0-OpenSSH_9.2\r\n" * 3)
    c.close()


def deep(levels):
    return raw('{"data":{"data":{"a":' + "[" * levels + "]" * levels + '},"metadata":{"version":1}}}')


SAME = '{"data":{"data":{"a":"1","a":"2"},"metadata":{"version":1}}}'
# 307 is a standby's answer that knows no active node.
# name: (answer, errno of a first read, is what we had served on?)
ANSWERS = {
    "truncated": (truncated, "EIO", True),
    "closed": (lambda c: c.close(), "EHOSTDOWN", True),
    "no-http": (no_http, "EIO", True),
    "drip": (drip, "ETIMEDOUT", True),
    "endless-chunks": (endless_chunks, "EFBIG", True),
    "endless-length": (lambda c: c.send(response(b" " * 65536, size=1 << 40)), "EFBIG", True),
    "endless-headers": (endless_headers, "EIO", True),
    "bad-chunks": (bad_chunks, "EHOSTDOWN", True),
    "deep": (deep(1000), "EIO", True),
    "duplicate-keys": (raw(SAME), "EIO", True),
    "trailing-text": (raw(json.dumps(GOOD) + "{}"), "EIO", True),
    "invalid-utf8": (raw(b'{"data":{"data":{"a":"\xff\xfe"},"metadata":{"version":1}}}'), "EIO", True),
    "empty-body": (raw(""), "EIO", True),
    "no-content": (lambda c: c.send(b"HTTP/1.1 204 No Content\r\n\r\n"), "EIO", True),
    "html": (lambda c: c.send(response("<html>Sign in</html>", kind="text/html")), "EIO", True),
    "an-array": (raw("[1]"), "EIO", True),
    "no-data": (raw("{}"), "EIO", True),
    "data-is-null": (raw('{"data":null}'), "EIO", True),
    "data-is-text": (raw('{"data":"text"}'), "EIO", True),
    "secret-is-a-number": (data(5), "EIO", True),
    "redirect-302": (redirect("302 Found"), "EIO", True),
    "redirect-307": (redirect("307 Temporary Redirect"), "EHOSTDOWN", True),
    "html-500": (refused("500 Internal Server Error"), "EIO", True),
    "html-502": (refused("502 Bad Gateway"), "EHOSTDOWN", True),
    "html-503": (refused("503 Service Unavailable", "Retry-After: 1"), "EHOSTDOWN", True),
    "html-429": (refused("429 Too Many Requests", "Retry-After: 1"), "EAGAIN", True),
    "html-404": (refused("404 Not Found"), "ENOENT", False),
    "teapot": (refused("418 I'm a teapot"), "EIO", True),
    "code-999": (refused("999 Odd"), "EIO", True),
}  # fmt: skip


class Connection:
    """One request has been read from it."""

    def __init__(self, server, sock):
        self.server, self.sock = server, sock

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)


class Trap:
    """Listens, and keeps what it is sent."""

    def __init__(self, serve=None):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.heard = []
        self.serve = serve or self.keep
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.run, args=(sock,), daemon=True).start()

    def run(self, sock):
        with sock:
            try:
                self.serve(sock)
            except OSError:
                pass  # the client had enough

    def keep(self, sock):
        self.heard.append(sock.recv(65536))

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Evil(Trap):
    """how: {secret: name of an answer, or "good"}; seen: names of the secrets that were asked for."""

    def __init__(self):
        self.how, self.seen, self.trap = {}, [], Trap()
        super().__init__(self.talk)

    def talk(self, sock):
        while request := self.request(sock):
            name = request.split(b" ")[1].partition(b"?")[0].rpartition(b"/")[2].decode()
            self.seen.append(name)
            how = self.how.get(name, "good")
            (good if how == "good" else ANSWERS[how][0])(Connection(self, sock))

    @staticmethod
    def request(sock):
        data = b""
        while b"\r\n\r\n" not in data:
            part = sock.recv(65536)
            if not part:
                return b""
            data += part
        return data

    def stop(self):
        self.trap.stop()
        super().stop()
