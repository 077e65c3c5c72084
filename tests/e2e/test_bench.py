# SPDX-License-Identifier: Apache-2.0
"""The benchmark works: it measures everything and writes its files. How fast anything is, is not judged."""

import json
import os
import subprocess
import xml.etree.ElementTree

import harness
import vault_fixtures  # noqa: F401 (where backends are found)

from backends import Missing, openbao

FILES = ["bench.json", "bench.md", "memory.svg", "operations.svg", "rate.svg", "read.svg"]


def test_the_benchmark_runs(tmp_path):
    harness.require("nginx", "cc", "pkg-config")
    try:
        openbao.binary()
    except Missing as missing:
        harness.missing(str(missing))
    environment = {**os.environ, "HUSHFS_BIN": str(harness.BIN)}
    command = [harness.TESTS / "bench" / "run", "--quick", "--out", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120 * harness.SLACK)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(os.listdir(tmp_path)) == FILES
    results = json.loads((tmp_path / "bench.json").read_text())
    assert len(results["goals"]) == 11
    files = {"tmpfs", "disk", "hushfs", "hushfs-kernel", "floor"}
    for operation, found in results["latency"].items():
        assert set(found) == (files | {"unix", "http", "http-new"} if operation.startswith("read") else files)
        assert all(time > 0 for target in found.values() for time in target["mean_ns"])
    assert all(rate > 0 for found in results["rate"].values() for t in found.values() for rate in t["per_s"])
    assert "| goal | limit |" in (tmp_path / "bench.md").read_text()
    for name in FILES:
        if name.endswith(".svg"):
            xml.etree.ElementTree.parse(tmp_path / name)


def test_it_says_what_it_cannot_find(tmp_path):
    environment = {**os.environ, "HUSHFS_BIN": str(tmp_path)}
    command = [harness.TESTS / "bench" / "run", "--quick", "--out", tmp_path / "out", "--only", "hushfs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 * harness.SLACK)
    assert done.returncode != 0
    assert "no hushfs in" in done.stderr
    assert not (tmp_path / "out").exists()
