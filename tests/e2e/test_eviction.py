# SPDX-License-Identifier: Apache-2.0
"""More secrets than the locked memory holds: all can be read, one after the other."""

import os

import harness
from harness import content, version_of


def test_more_than_fits(mount, open_mode):
    m = mount(
        files={f"n{i}": content(i, size=100_000) for i in range(60)},
        mount_options={"memory": "2M", "open": open_mode},
    )
    held = os.open(m / "n0", os.O_RDONLY)
    for _ in range(2):
        for i in range(60):
            assert version_of(harness.read(m / f"n{i}")) == i
    assert version_of(os.pread(held, 1 << 20, 0)) == 0
    os.close(held)
    status = m.status()
    assert status["metrics"]["hushfs_evictions_total"] >= 60
    assert status["memory"]["used"] <= status["memory"]["size"] < 2 << 20
    assert status["metrics"]["hushfs_fetch_errors_total"] <= status["metrics"]["hushfs_evictions_total"]
