# SPDX-License-Identifier: Apache-2.0
"""A FAKE of the one call that OpenBao's kubernetes login makes of the API server, TokenReview: tokens
that were issued here are good, all others are not. It stands in until the real API server is among the
backends, and says so."""

import http.server
import json
import secrets
import threading

from .server import log

AUDIENCE = "https://kubernetes.default.svc"
PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.server.reviews += 1
        account = self.server.accounts.get(body.get("spec", {}).get("token"))
        status = {"authenticated": False, "error": "invalid token"}
        if self.path == PATH and account:
            namespace, name = account
            user = {"username": f"system:serviceaccount:{namespace}:{name}", "uid": f"uid-of-{name}",
                    "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]}  # fmt: skip
            status = {"authenticated": True, "user": user, "audiences": [AUDIENCE]}
        answer = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
        self.send_response(201 if self.path == PATH else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class TokenReview:
    """url: what `kubernetes_host` of the login is set to. signer: of keys.py."""

    def __init__(self, signer):
        self.signer = signer
        log("the Kubernetes API server is a FAKE here: its TokenReview, and nothing else")
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.http.accounts, self.http.reviews = {}, 0
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def issue(self, namespace, name):
        """A new token of a service account; OpenBao looks into it before it asks."""
        account = {"namespace": namespace, "serviceaccount": {"name": name, "uid": f"uid-of-{name}"}}
        token = self.signer.jwt(iss=AUDIENCE, sub=f"system:serviceaccount:{namespace}:{name}", aud=[AUDIENCE],
                                jti=secrets.token_hex(8), **{"kubernetes.io": account})  # fmt: skip
        self.http.accounts[token] = (namespace, name)
        return token

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
