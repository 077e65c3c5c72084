# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests; see harness.py."""

import collections
import faulthandler
import os
import signal
import threading

import harness
import pytest

pytest_plugins = ["vault_fixtures"]


@pytest.fixture
def mount():
    """A factory of mounts (harness.Mount): mount(files={...}, ...)."""
    mounts = harness.Mounts()
    yield mounts
    mounts.close()


@pytest.fixture(scope="module")
def module_mount():
    """The same for a mount that all tests of a module share."""
    mounts = harness.Mounts()
    yield mounts
    mounts.close()


@pytest.fixture(params=["checked", "kernel"], scope="module")
def open_mode(request):
    return request.param


@pytest.fixture(scope="session", autouse=True)
def session():
    """Where a crash of Python itself stood; the compiled tools go at the end."""
    faulthandler.enable()
    yield
    harness.drop_cache()


def group_of(item):
    """What stays together: the tests of a module that may share a mount."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return item.path.name, params.get("open_mode", "")


@pytest.hookimpl(trylast=True)  # when -m has left out its share
def pytest_collection_modifyitems(config, items):
    number, count = (int(n) for n in os.environ.get("HUSHFS_LANE", "1/1").split("/"))
    if count == 1:
        return
    groups = collections.Counter()
    for item in items:
        marker = item.get_closest_marker("waits")
        groups[group_of(item)] += marker.args[0] if marker else 1
    ours = harness.lanes(groups, count)[number - 1]
    config.hook.pytest_deselected(items=[item for item in items if group_of(item) not in ours])
    items[:] = [item for item in items if group_of(item) in ours]


class Watchdog:
    """Ends a test that hangs: an exception in the main thread first; if that does not help (a system
    call that waits for a mount) the mounts are aborted; in the end the whole process."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.abort = threading.Timer(seconds + 10, self.abort_mounts)
        self.abort.daemon = True

    def alarm(self, *_):
        pytest.fail(f"not done after {self.seconds:.0f} s")

    @staticmethod
    def abort_mounts():
        for mount in list(harness.Mount.live):
            harness.force_umount(mount.path)

    def __enter__(self):
        self.old = signal.signal(signal.SIGALRM, self.alarm)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        self.abort.start()
        faulthandler.dump_traceback_later(self.seconds + 60, exit=True)

    def __exit__(self, *exc):
        faulthandler.cancel_dump_traceback_later()
        self.abort.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.old)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("timeout")
    seconds = (marker.args[0] if marker else 60) * harness.SLACK
    with Watchdog(seconds):
        yield
