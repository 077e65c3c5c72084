# SPDX-License-Identifier: Apache-2.0
"""Running `hushfs` as a user does, for the tests of the command line: test_bad_config.py, test_get.py, …

The programs come from the directory HUSHFS_BIN."""

import os
import pathlib
import subprocess

BIN = pathlib.Path(
    os.environ.get("HUSHFS_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "dev" / "bin")
).resolve()
DONE, FAILED, USAGE, CONFIG, NOT_FOUND, DENIED, UNAVAILABLE = range(7)


class Result:
    """What a run gave; repr() is what pytest shows of it."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr.decode()

    def __repr__(self):
        return f"<status {self.status}\nout: {self.out!r}\nerr: {self.err}>"


def run(*arguments, program=BIN / "hushfs", environ=None, **more):
    """Run `hushfs ARGUMENTS`. environ is added to a small environment of its own."""
    env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), **(environ or {})}
    for name, value in os.environ.items():
        if name.endswith("SAN_OPTIONS"):
            env[name] = value
    done = subprocess.run(
        [str(program), *(str(a) for a in arguments)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=60,
        **more,
    )
    return Result(done)


def write(path, text, mode=0o644):
    """A file with just these bytes or this text, and this mode whatever the umask is."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path
