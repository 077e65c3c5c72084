# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and signed JWTs, made by openssl."""

import base64
import json
import pathlib
import shutil
import subprocess
import time

from .server import Missing


def openssl(*arguments, data=None):
    """Its standard output, bytes."""
    if not shutil.which("openssl"):
        raise Missing("openssl")
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise Missing(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """A certificate authority for clients: BASE/ca.pem, and certificates that it issues."""

    def __init__(self, base, name="client CA"):
        self.base = pathlib.Path(base)
        self.cert, self.key = self.base / "ca.pem", self.base / "ca.key"
        openssl("req", "-x509", *EC, "-keyout", self.key, "-out", self.cert, "-days", 30, "-subj", f"/CN={name}")

    def client(self, common_name):
        """(certificate, key) of a client, as paths."""
        stem = self.base / common_name
        cert, key, request, extension = (pathlib.Path(f"{stem}.{end}") for end in ("pem", "key", "csr", "ext"))
        extension.write_text(f"extendedKeyUsage=clientAuth\nsubjectAltName=DNS:{common_name}\n")
        openssl("req", *EC, "-keyout", key, "-out", request, "-subj", f"/CN={common_name}")
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                "-out", cert, "-days", 10, "-extfile", extension)  # fmt: skip
        return cert, key


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """Signs JWTs (RS256); public: the key to verify them with, PEM."""

    def __init__(self, base):
        self.key = pathlib.Path(base) / "jwt.key"
        openssl("genrsa", "-out", self.key, 2048)
        self.public = openssl("pkey", "-in", self.key, "-pubout").decode()

    def jwt(self, lifetime=3600, **claims):
        now = int(time.time())
        body = {"iat": now, "nbf": now - 5, "exp": now + lifetime, **claims}
        head = _base64url(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
        text = f"{head}.{_base64url(json.dumps(body).encode())}"
        return f"{text}.{_base64url(openssl('dgst', '-sha256', '-sign', self.key, data=text.encode()))}"
