# SPDX-License-Identifier: Apache-2.0
"""Dynamic credentials: OpenBao's database engine on a real PostgreSQL. What a file holds must log in, for
as long as it is there."""

import os
import threading
import time

import harness
import pytest
from harness import QUICK, Hung, read, wait_for
from vault_fixtures import Counter, fresh, sleep_until, token_for
from vault_logins import Approle

CREATE = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; "
    'GRANT CONNECT ON DATABASE app TO "{{name}}";'
)
RENEW, REVOKE = "sys/leases/renew", "sys/leases/revoke"


@pytest.fixture(scope="module")
def database(bao, pg):
    bao.mount("database", "database")
    bao.write("database/config/pg", {
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": pg.url(),
        "username": "pgadmin", "password": pg.password,
    })  # fmt: skip
    bao.policy("dynamic", {"database/creds/*": "read", "database/static-creds/*": "read", "database/roles": "list",
                           "database/roles/*": "list", "database/static-roles": "list",
                           "database/static-roles/*": "list", REVOKE: "update"})  # fmt: skip
    return bao


def new_role(bao, ttl, max_ttl):
    name = fresh()
    bao.write(f"database/roles/{name}", {
        "db_name": "pg", "default_ttl": ttl, "max_ttl": max_ttl, "creation_statements": [CREATE],
    })  # fmt: skip
    return name


@pytest.fixture
def credentials(vault, database):
    """A factory: (mount, role) of an instance on the engine."""

    def make(lease, max_ttl, token=None, **options):
        role = new_role(database, lease, max_ttl)
        m = vault(database, token=token or token_for(database, "dynamic", period="1h"),
                  options={"engine": "database", "mount": "database", **options})  # fmt: skip
        return m, role

    return make


def pair(mount, role):
    """(user, password) of one version: through one open directory."""
    fd = os.open(mount / role, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read("username", dir_fd=fd).decode(), read("password", dir_fd=fd).decode()
    finally:
        os.close(fd)


def test_what_is_read_logs_in(credentials, pg):
    m, role = credentials("1h", "2h")
    user, password = pair(m, role)
    assert pg.login(user, password) == ""
    assert read(m / f"{role}/username").decode() == user


def test_many_readers_share_one_credential(credentials, database):
    m, role = credentials("1h", "2h", ttl="1")
    count = Counter(database)
    with Hung(m / f"{role}/password", threads=200) as readers:
        report = readers.wait(20)
    assert report["ok"] == 200, report
    time.sleep(1.2)  # beyond the ttl, which is none of a credential's
    first = pair(m, role)
    for _ in range(10):
        os.stat(m / f"{role}/password")
        os.listdir(m / role)
        assert pair(m, role) == first
    assert count(f"database/creds/{role}") == 1


def test_listing_makes_no_credential(credentials, database):
    m, role = credentials("1h", "2h")
    count = Counter(database)
    assert role in os.listdir(m.path / "v")
    assert all(entry.is_dir(follow_symlinks=False) for entry in os.scandir(m.path / "v"))
    made = {p for p in count.all() if p.startswith("database/creds/")}
    assert not made


def test_stat_makes_no_credential(credentials, database):
    """`ls -l` of the engine would make a user for every role."""
    m, role = credentials("1h", "2h")
    count = Counter(database)
    assert role in os.listdir(m.path / "v")
    os.stat(m / role)
    assert count(f"database/creds/{role}") == 0
    user = read(m / f"{role}/username")
    assert pair(m, role)[0].encode() == user
    assert count(f"database/creds/{role}") == 1


@pytest.mark.waits(9)
def test_a_lease_is_renewed(credentials, database, pg):
    """The same user for longer than the lease, though nobody reads: who did still uses it."""
    m, role = credentials("4s", "1h")
    count = Counter(database)
    user, password = pair(m, role)
    time.sleep(9)
    assert pg.login(user, password) == "" and pair(m, role) == (user, password)
    assert count(f"database/creds/{role}") == 1
    assert 2 <= count(RENEW) <= 12


class Client(threading.Thread):
    """Reads the credential and logs in with it, again and again.

    A credential is replaced a tenth of its lease ahead of its end at the least, so that is how long a reader
    may take from read to login. A slow machine takes longer, once in a while: then the failure says nothing,
    if another credential is shown by then. One that is shown must log in.
    """

    IN_TIME = 0.25  # s: less than a tenth of the lease of 3 s

    def __init__(self, mount, role, pg):
        super().__init__(daemon=True)
        self.mount, self.role, self.pg = mount, role, pg
        self.users, self.failures, self.logins, self.late = [], [], 0, 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.wait(0.02):
            begin = time.monotonic()
            try:
                user, password = pair(self.mount, self.role)
                said = self.pg.login(user, password)
                took = time.monotonic() - begin
                if said and took > self.IN_TIME and pair(self.mount, self.role)[0] != user:
                    self.late += 1
                    continue
            except OSError as error:
                user, said, took = None, str(error), None
            self.logins += 1
            if said:
                self.failures.append((time.monotonic(), took, user, said))
            elif user not in self.users:
                self.users.append(user)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()


def test_a_credential_is_replaced_before_its_end(credentials, pg):
    """No login fails over several replacements: max_ttl is never reached with the file still there."""
    m, role = credentials("3s", "6s")
    m.expect_log("renew failed")
    wanted = 2 if QUICK else 4
    begin = time.monotonic()
    with Client(m, role, pg) as client:
        while len(client.users) < wanted and time.monotonic() < begin + 40 * harness.SLACK:
            time.sleep(0.1)
    took = time.monotonic() - begin
    assert not client.failures, client.failures[:5]
    # Enough to see a moment without a good credential: two a second at the least, as slow as this machine may be.
    assert len(client.users) >= wanted and client.logins > 2 * took / harness.SLACK, (client.logins, took)
    assert client.late <= len(client.users), (client.late, client.users)  # once at each end
    assert time.monotonic() - begin < wanted * 7 * harness.SLACK
    assert time.monotonic() - begin > (wanted - 1) * 1.5, "replaced far too often"


def test_revoked_at_unmount(credentials, pg):
    m, role = credentials("1h", "2h", revoke="yes")
    user, password = pair(m, role)
    assert pg.login(user, password) == ""
    m.umount()
    wait_for(lambda: user not in pg.roles(), 5, "the end of the role")
    assert "authentication failed" in pg.login(user, password)


def test_the_end_of_our_login_ends_what_was_superseded(vault, database, pg):
    """A credential that was replaced and is open no more has been left to end by itself; it ends with the login
    that made it, which is given back after all leases that are known."""
    role = new_role(database, "1h", "2h")
    login = Approle(database, token_policies="dynamic", token_ttl="1h")
    m = vault(database, start=False)
    m.instance("v", engine="database", mount="database", revoke="yes", **login.options(m))
    m.start()
    first = pair(m, role)
    m.command("refresh", m / role)
    second = pair(m, role)
    assert first != second and pg.login(*first) == "" and pg.login(*second) == ""
    since = database.audit_end()
    m.umount()
    asked = [r["path"] for r in database.audit(since)]
    assert asked[-1] == "auth/token/revoke-self" and set(asked[:-1]) == {REVOKE}, asked
    for user, password in first, second:
        wait_for(lambda user=user: user not in pg.roles(), 10, "the end of the role")
        assert "authentication failed" in pg.login(user, password)


def test_kept_at_unmount_unless_asked(credentials, pg):
    m, role = credentials("1h", "2h")
    user, password = pair(m, role)
    m.umount()
    time.sleep(0.5)
    assert pg.login(user, password) == ""


@pytest.mark.waits(6)
def test_a_takeover_keeps_the_credential(credentials, database, pg):
    """The lease is the next worker's to renew."""
    m, role = credentials("4s", "1h")
    count = Counter(database)
    first = pair(m, role)
    m.kill_worker()
    assert pair(m, role) == first
    begin = time.monotonic()
    while time.monotonic() < begin + 6:
        assert pair(m, role) == first
        time.sleep(0.1)
    assert pg.login(*first) == ""
    assert count(f"database/creds/{role}") == 1


def test_a_reload_keeps_the_credential(credentials, database, pg):
    m, role = credentials("1h", "2h")
    count = Counter(database)
    first = pair(m, role)
    m.reload()
    assert pair(m, role) == first and pg.login(*first) == ""
    assert count(f"database/creds/{role}") == 1


@pytest.mark.waits(2)
def test_a_revoked_lease_is_replaced(credentials, database, pg):
    """Revoked on the server by an operator: at the next renewal it is noticed."""
    m, role = credentials("3s", "1h")
    m.expect_log("renew failed")
    first = pair(m, role)
    database.write(f"sys/leases/revoke-prefix/database/creds/{role}", {"sync": True})
    assert pg.login(*first) != ""
    wait_for(lambda: pair(m, role) != first, 5, "another credential")
    assert pg.login(*pair(m, role)) == ""


@pytest.mark.waits(2)
def test_a_lease_dies_with_its_token(vault, database, pg):
    """Our login revoked: the new login makes a new credential."""
    role = new_role(database, "3s", "1h")
    login = Approle(database, token_policies="dynamic", token_ttl="1h")
    m = vault(database, start=False)
    m.instance("v", engine="database", mount="database", **login.options(m))
    m.expect_log("instance=v|v/n")
    m.start()
    first = pair(m, role)
    assert pg.login(*first) == ""
    login.revoke_tokens()
    assert pg.login(*first) != ""
    wait_for(lambda: pair(m, role) != first, 6, "another credential")
    assert pg.login(*pair(m, role)) == ""


def test_unknown_roles(credentials):
    m, _ = credentials("1h", "2h")
    m.expect_log("no-such-role|instance=v")
    assert m.outcome("no-such-role/username") == "ENOENT"


def test_a_database_that_is_down(database, vault):
    """An error that tells nothing of the database's address or user."""
    database.write("database/config/dead", {
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "verify_connection": False,
        "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:9/secretdb?sslmode=disable",
        "username": "secretadmin", "password": "x",
    })  # fmt: skip
    role = fresh()
    database.write(f"database/roles/{role}", {"db_name": "dead", "default_ttl": "1h", "creation_statements": [CREATE]})
    m = vault(database, token=token_for(database, "dynamic"), options={"engine": "database", "mount": "database"})
    m.expect_log("v/n|instance=v")
    assert m.outcome(f"{role}/username") == "EIO"
    said = m.log_text() + str(m.status())
    assert "secretdb" not in said and "secretadmin" not in said


@pytest.mark.waits(11)
def test_a_static_role_follows_its_rotation(database, vault, pg):
    """The server changes the password every 5 s; what is read logs in again soon after."""
    name = fresh()
    pg.sql(f"create role {name} login password 'initial'")
    database.write(f"database/static-roles/{name}", {"db_name": "pg", "username": name, "rotation_period": "5s"})
    m = vault(database, token=token_for(database, "dynamic"),
              options={"engine": "database-static", "mount": "database", "ttl": "1h"})  # fmt: skip
    assert name in os.listdir(m.path / "v") and m.text(f"{name}/username") == name
    seen, bad, begin = set(), 0, time.monotonic()
    while time.monotonic() < begin + 13 and len(seen) < (2 if QUICK else 3):
        password = m.text(f"{name}/password")
        seen.add(password)
        bad = bad + 1 if pg.login(name, password) else 0
        assert bad < 20, "what is read has been wrong for a long time"
        sleep_until(time.monotonic() + 0.05)
    assert len(seen) >= 2
