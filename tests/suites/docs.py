# SPDX-License-Identifier: Apache-2.0
"""docs.py HUSHFS: what the documents say holds. Prints `pass|fail NAME` lines for tests/run.

Links to files of the tree and their anchors exist. So do the commands in blocks marked ```sh: programs of
the tree by their path, subcommands of hushfs by its own --help, others by PATH. Blocks marked ```ini and
packaging/examples/*.conf are good configurations. The table of providers is that of the program. The
picture is what its script makes.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(sh|ini)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = pathlib.Path("packaging/examples")
PICTURE = pathlib.Path("packaging/read-flow.svg")


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
    return shutil.which(name) is not None or name in ("cd", "export") or (EXAMPLES / name).is_file()


def blocks(text, kind):
    return [block for found, block in BLOCK.findall(text) if found == kind]


def commands(text):
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").replace("&&", "\n").splitlines():
            found = words(line)
            if found and not found[0].startswith(("#", "-")):  # sudo -s
                yield found


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def subcommands_of(hushfs):
    return set(re.findall(r"^\s+(?:hushfs )?([a-z]+)\b", output_of(hushfs, "--help"), re.MULTILINE))


def is_good(hushfs, text):
    """Whether it is a configuration; the user that serves need not exist here."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        run = subprocess.run([hushfs, "check", "-o", "user=daemon", "-c", file.name], capture_output=True, text=True,
                             timeout=10)  # fmt: skip
    sys.stderr.write(run.stderr)
    return run.returncode == 0


def check(good, name):
    print("pass" if good else "fail", name)


def check_document(document, hushfs, subcommands):
    text = document.read_text()
    for target in sorted(set(LINK.findall(text))):
        check(link_exists(document, target), f"{document}: link {target}")
    for command in sorted({tuple(c) for c in commands(text)}):
        check(command_exists(command, subcommands), f"{document}: {' '.join(command)}")
    for number, block in enumerate(blocks(text, "ini"), 1):
        check(is_good(hushfs, block), f"{document}: configuration {number}: {block.splitlines()[0]}")


def check_providers(hushfs):
    """The rows of README's table that are not planned are the types that there are."""
    listed = set(re.findall(r"^\| `([a-z0-9-]+)` \|", pathlib.Path("README.md").read_text(), re.MULTILINE))
    known = {line.split()[0] for line in output_of(hushfs, "providers").splitlines() if line}
    for name in sorted(listed | known):
        check(name in listed and name in known, f"README.md: the provider {name} is in the table, and is one")


def main(hushfs):
    subcommands = subcommands_of(hushfs)
    for document in documents():
        check_document(document, hushfs, subcommands)
    for file in sorted(EXAMPLES.glob("*.conf")):
        check(is_good(hushfs, file.read_text()), f"{file}: is a good configuration")
    check_providers(hushfs)
    check(output_of("packaging/picture") == PICTURE.read_text(), f"{PICTURE}: is what packaging/picture makes")


main(sys.argv[1])
