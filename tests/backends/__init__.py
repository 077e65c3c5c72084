# SPDX-License-Identifier: Apache-2.0
"""Real backends for the tests, each on loopback, started and stopped by the process that wants it.

    openbao.py      OpenBao, pinned: the product itself
    postgres.py     PostgreSQL of Debian, for OpenBao's database engine: the product itself
    tokenreview.py  Kubernetes' TokenReview, for OpenBao's kubernetes login: A FAKE
    keys.py         keys, certificates and signed JWTs, by openssl
    server.py       what they share: a child process, its directory, its log, free ports
    fetch.py        a pinned program from a package, kept outside of the tree

What cannot be had here raises Missing, with the reason. By hand: `python3 -m tests.backends --help`.
"""

from .server import Missing

__all__ = ["Missing"]
