# SPDX-License-Identifier: Apache-2.0
"""docs.py HUSHFS: what the documents point at exists. Prints `pass|fail NAME` lines for tests/run.

Links to files of the tree, their anchors, and the commands in blocks marked ```sh: programs of the
tree by their path, subcommands of hushfs by its own --help, others by PATH.
"""

import pathlib
import re
import shutil
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documents():
    skip = {"build", ".git"}
    return sorted(p for p in pathlib.Path(".").rglob("*.md") if not skip & set(p.parts))


def anchors(text):
    for heading in re.findall(r"^#+ +(.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def link_exists(document, target):
    if re.match(r"[a-z]+:", target):
        return target.startswith("https:") or target.startswith("mailto:")
    path, _, anchor = target.partition("#")
    file = document.parent / path if path else document
    if not file.exists():
        return False
    return not anchor or anchor in anchors(file.read_text())


def words(line):
    line = re.sub(r"\s#\s.*", "", line).strip()
    found = line.split()
    while found and (found[0] in ("sudo", "$") or re.match(r"[A-Z_]+=", found[0])):
        found.pop(0)
    return found


def command_exists(command, subcommands):
    name = command[0]
    if name == "hushfs":
        return len(command) < 2 or command[1].startswith("-") or command[1] in subcommands
    if "/" in name and not name.startswith("/"):
        return pathlib.Path(name).is_file() and pathlib.Path(name).stat().st_mode & 0o111
    return shutil.which(name) is not None or name in ("cd", "export")


def commands(text):
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").replace("&&", "\n").splitlines():
            found = words(line)
            if found and not found[0].startswith("#"):
                yield found


def subcommands_of(hushfs):
    run = subprocess.run([hushfs, "--help"], capture_output=True, text=True, timeout=10, check=True)
    return set(re.findall(r"^\s+(?:hushfs )?([a-z]+)\b", run.stdout, re.MULTILINE))


def main(hushfs):
    subcommands = subcommands_of(hushfs)
    for document in documents():
        text = document.read_text()
        for target in sorted(set(LINK.findall(text))):
            print("pass" if link_exists(document, target) else "fail", f"{document}: link {target}")
        for command in sorted({tuple(c) for c in commands(text)}):
            good = command_exists(command, subcommands)
            print("pass" if good else "fail", f"{document}: {' '.join(command)}")


main(sys.argv[1])
