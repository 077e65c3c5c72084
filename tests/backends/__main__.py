# SPDX-License-Identifier: Apache-2.0
"""python3 -m tests.backends COMMAND

    fetch                  download what is pinned into the cache of the tests (HUSHFS_CACHE)
    openbao [--tls]        start OpenBao until ^C; says its address and a configuration for hushfs
    postgres               PostgreSQL likewise
    with-openbao COMMAND   run COMMAND with HUSHFS_TEST_OPENBAO=URL and HUSHFS_TEST_OPENBAO_TOKEN=FILE in its
                           environment, or without them if no OpenBao can be had; its status
"""

import contextlib
import os
import signal
import subprocess
import sys

from . import openbao, postgres
from .server import Missing, log

SKIPPED = 77

CONFIG = """\
[provider/bao]
type = vault
url = {url}
mount = secret
auth_method = token
token_file = {token}
"""


def token_file(bao):
    """Readable by whatever user a mount serves as: nothing but demonstrations is behind it."""
    path = bao.base / "token"
    path.write_text(bao.token)
    path.chmod(0o644)
    bao.base.chmod(0o755)
    return path


def until_interrupted():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.pause()


def run_openbao(tls):
    with openbao.Dev(tls=tls) as bao:
        bao.put("secret", "app", {"user": "demo", "password": "not a secret"})
        print(f"# OpenBao {openbao.VERSION}, KV v2 at secret/ with the secret `app`; log {bao.log_path}")
        print(f"# export BAO_ADDR={bao.url} BAO_TOKEN={bao.token}" + (f" BAO_CACERT={bao.ca_file}" if tls else ""))
        print("# ^C ends it.")
        print(CONFIG.format(url=bao.url, token=token_file(bao)) + (f"ca_file = {bao.ca_file}\n" if tls else ""), flush=True)
        until_interrupted()


def run_postgres():
    with postgres.Postgres() as server:
        print(f"# PGPASSWORD={server.password} psql -h 127.0.0.1 -p {server.port} -U {postgres.ADMIN} {postgres.DATABASE}")
        print("# ^C ends it.", flush=True)
        until_interrupted()


def with_openbao(command):
    with contextlib.ExitStack() as stack:
        environ = dict(os.environ)
        try:
            bao = stack.enter_context(openbao.Dev())
            environ |= {"HUSHFS_TEST_OPENBAO": bao.url, "HUSHFS_TEST_OPENBAO_TOKEN": str(token_file(bao))}
        except Missing as missing:
            log(f"MISSING: {missing}")
        return subprocess.run(command, env=environ, check=False).returncode


def main(arguments):
    command, rest = (arguments[0] if arguments else ""), arguments[1:]
    if command == "fetch" and not rest:
        openbao.binary()
    elif command == "openbao" and rest in ([], ["--tls"]):
        run_openbao(bool(rest))
    elif command == "postgres" and not rest:
        run_postgres()
    elif command == "with-openbao" and rest:
        return with_openbao(rest)
    else:
        print(__doc__.strip(), file=sys.stderr)
        return 0 if command in ("-h", "--help") else 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Missing as missing:
        log(f"MISSING: {missing}")
        sys.exit(SKIPPED)
