# SPDX-License-Identifier: Apache-2.0
"""The login methods of OpenBao for the tests: each is set up on the server under a path of its own, and
gives the options and credentials that a mount needs for it."""

from vault_fixtures import fresh, token_for

POLICY = {"token_policies": "reader", "token_ttl": "60s"}


class Approle:
    """path: of the login; id and secrets are issued anew by each call."""

    def __init__(self, bao, **role):
        self.bao, self.path = bao, fresh()
        bao.write(f"sys/auth/{self.path}", {"type": "approle"})
        bao.write(f"auth/{self.path}/role/app", {**POLICY, **role})
        self.role_id = bao.read(f"auth/{self.path}/role/app/role-id")["data.role_id"]

    def secret_id(self):
        return self.bao.write(f"auth/{self.path}/role/app/secret-id", {})["data.secret_id"]

    def wrapped(self, seconds=120):
        """A wrapping token that holds a secret id."""
        headers = {"X-Vault-Wrap-TTL": f"{seconds}s"}
        return self.bao.write(f"auth/{self.path}/role/app/secret-id", {}, headers=headers)["wrap_info.token"]

    def options(self, mount, secret=None, wrapping=False, name="secret-id"):
        secret = secret or (self.wrapped() if wrapping else self.secret_id())
        return {
            "auth_method": "approle", "approle_auth_path": self.path, "approle_role_id": self.role_id,
            "approle_secret_id_file": mount.credential(name, secret + "\n"),
            "approle_response_wrapping": "yes" if wrapping else None,
        }  # fmt: skip

    def revoke_tokens(self):
        """All tokens of this login, and their leases."""
        self.bao.write(f"sys/leases/revoke-prefix/auth/{self.path}/login", {"sync": True})


def approle(bao, mount, _):
    return Approle(bao).options(mount)


def approle_wrapped(bao, mount, _):
    return Approle(bao).options(mount, wrapping=True)


def userpass(bao, mount, _):
    path = fresh()
    bao.write(f"sys/auth/{path}", {"type": "userpass"})
    bao.write(f"auth/{path}/users/u1", {"password": "a pass word", **POLICY})
    return {"auth_method": "userpass", "userpass_auth_path": path, "userpass_username": "u1",
            "userpass_password_file": mount.credential("password", "a pass word")}  # fmt: skip


def jwt(bao, mount, tools):
    path = fresh()
    bao.write(f"sys/auth/{path}", {"type": "jwt"})
    bao.write(f"auth/{path}/config", {"jwt_validation_pubkeys": [tools.signer.public], "bound_issuer": "https://iss.test"})
    bao.write(f"auth/{path}/role/r1", {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["bao"], **POLICY})
    token = tools.signer.jwt(iss="https://iss.test", sub="app1", aud="bao")
    return {"auth_method": "jwt", "jwt_auth_path": path, "jwt_role": "r1", "jwt_file": mount.credential("jwt", token)}


def kubernetes(bao, mount, tools):
    path = fresh()
    bao.write(f"sys/auth/{path}", {"type": "kubernetes"})
    bao.write(f"auth/{path}/config", {
        "kubernetes_host": tools.review.url, "disable_local_ca_jwt": True,
        "kubernetes_ca_cert": tools.authority.cert.read_text(),  # demanded even for an http host
    })  # fmt: skip
    bao.write(f"auth/{path}/role/r1", {"bound_service_account_names": "app1", "bound_service_account_namespaces": "default",
                                       **POLICY})  # fmt: skip
    token = tools.review.issue("default", "app1")
    return {"auth_method": "kubernetes", "kube_auth_path": path, "kube_role": "r1",
            "kube_api_token_file": mount.credential("sa-token", token + "\n")}  # fmt: skip


def cert(bao, mount, tools):
    """Of a server with TLS; a role that is bound to the client's name."""
    path = fresh()
    bao.write(f"sys/auth/{path}", {"type": "cert"})
    bao.write(f"auth/{path}/certs/web", {"certificate": tools.authority.cert.read_text(),
                                         "allowed_common_names": "app.example", **POLICY})  # fmt: skip
    certificate, key = tools.authority.client("app.example")
    return {"auth_method": "cert", "cert_auth_path": path, "cert_auth_role_name": "web",
            "cert_auth_cert": mount.credential("client.pem", certificate.read_text()),
            "cert_auth_cert_key": mount.credential("client.key", key.read_text())}  # fmt: skip


def token_by_file(bao, mount, _):
    return {"auth_method": "token", "token_file": mount.credential("token", token_for(bao) + "\n")}


def token_by_bao_token(bao, mount, _):
    mount.environ["BAO_TOKEN"] = token_for(bao)
    mount.environ["VAULT_TOKEN"] = "of another product"
    return {"auth_method": "token"}


def token_by_vault_token(bao, mount, _):
    mount.environ["VAULT_TOKEN"] = token_for(bao)
    return {"auth_method": "token"}


def token_by_home(bao, mount, _):
    """~/.vault-token, as the command line's login leaves it."""
    home = mount.base / "home"
    home.mkdir()
    mount.credential("token", token_for(bao)).rename(home / ".vault-token")
    mount.environ["HOME"] = str(home)
    return {}


METHODS = {f.__name__: f for f in (
    token_by_file, token_by_bao_token, token_by_vault_token, token_by_home, approle, approle_wrapped, kubernetes, jwt,
    cert, userpass,
)}  # fmt: skip
