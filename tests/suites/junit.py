# SPDX-License-Identifier: Apache-2.0
"""junit.py FILE [PREFIX]: the test cases of a JUnit file as `pass|fail|skip NAME[: WHY]` lines.

ctest calls a test that it could not start "skipped" as well: that is a failure here.
"""

import sys
import xml.etree.ElementTree as xml


def why(element):
    text = element.get("message") or element.text or ""
    return " ".join(text.split())[:120]


def result(case):
    broken = [e for e in case if e.tag in ("failure", "error")]
    left_out = [e for e in case if e.tag == "skipped"]
    if broken:
        return "fail", why(broken[0])
    if case.get("status") == "disabled":
        return "skip", "disabled"
    if case.get("status") == "notrun" and not any("SKIP" in why(e) for e in left_out):
        return "fail", "not started"
    if left_out:
        return "skip", why(left_out[0])
    return "pass", ""


def name_of(case):
    place, name = case.get("classname") or "", case.get("name")
    return name if place in ("", name) else f"{place.removeprefix('tests.e2e.')}::{name}"


def main(path, prefix=""):
    for case in xml.parse(path).getroot().iter("testcase"):
        kind, reason = result(case)
        print(f"{kind} {prefix}{name_of(case)}" + (f": {reason}" if reason else ""))


main(*sys.argv[1:])
