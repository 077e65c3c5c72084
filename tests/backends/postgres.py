# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL of our own: a cluster in a directory, run by the user postgres, on a loopback port."""

import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess

from .server import Missing, Server, free_ports, scratch

ADMIN, DATABASE = "pgadmin", "app"
REFUSED = "authentication failed"


def _programs():
    """The directory of the newest version that is installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: float(p.split("/")[4]))
    if not found or not shutil.which("psql"):
        raise Missing("postgresql")
    return os.path.dirname(found[-1])


class Postgres(Server):
    stop_signal = signal.SIGINT  # at once, sessions or not

    def __init__(self):
        self.programs = _programs()
        super().__init__(scratch("postgres"), "postgres")
        self.user = None
        if os.geteuid() == 0:
            try:
                self.user = pwd.getpwnam("postgres")
            except KeyError:
                raise Missing("the user postgres") from None
            os.chown(self.base, self.user.pw_uid, self.user.pw_gid)
        self.password, self.port = secrets.token_hex(8), free_ports()

    def _as_user(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid} if self.user else {}

    def start(self):
        password = self.base / "password"
        password.write_text(self.password)
        if self.user:
            os.chown(password, self.user.pw_uid, self.user.pw_gid)
        done = subprocess.run(
            [f"{self.programs}/initdb", "-D", self.base / "data", "-U", ADMIN, "--auth=scram-sha-256", "-E", "UTF8",
             "--no-locale", "--no-sync", f"--pwfile={password}"],
            capture_output=True, text=True, cwd=self.base, timeout=120, extra_groups=[] if self.user else None,
            **self._as_user(),
        )  # fmt: skip
        if done.returncode != 0:
            raise Missing(f"initdb: {done.stdout}{done.stderr}")
        self.spawn(f"{self.programs}/postgres", "-D", self.base / "data", "-p", self.port, "-h", "127.0.0.1",
                   "-k", "", "-c", "fsync=off", **self._as_user())  # fmt: skip
        self.wait_until(lambda: self.login(ADMIN, self.password, "postgres") == "", 60, "the first connection")
        self.sql(f"create database {DATABASE}", database="postgres")
        return self

    def psql(self, user, password, database, sql):
        environ = {"PATH": "/usr/bin:/bin", "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
        command = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                   "-U", user, "-d", database, "-c", sql]  # fmt: skip
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)

    def sql(self, sql, database=DATABASE):
        """What the administrator gets for it."""
        done = self.psql(ADMIN, self.password, database, sql)
        if done.returncode != 0:
            raise AssertionError(f"psql: {sql}: {done.stderr}")
        return done.stdout.strip()

    def login(self, user, password, database=DATABASE):
        """"" if the server lets them in (and knows who it is), else what it says."""
        done = self.psql(user, password, database, "select current_user")
        if done.returncode == 0:
            return "" if done.stdout.strip() == user else f"logged in as {done.stdout.strip()}"
        return done.stderr.strip() or f"psql ended with {done.returncode}"

    def roles(self, like="v-%"):
        """Names of the roles that dynamic credentials made."""
        return self.sql(f"select rolname from pg_roles where rolname like '{like}' order by 1").split()

    def url(self):
        """As OpenBao's connection_url wants it."""
        return f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{self.port}/{DATABASE}?sslmode=disable"

    def stop(self):
        super().stop()
        self.remove()
