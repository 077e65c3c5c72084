# SPDX-License-Identifier: Apache-2.0
"""manuals.py HUSHFS BUILD: the manual pages are whole and right. Prints `pass|fail NAME` lines for tests/run.

HUSHFS is the program, BUILD/man holds the pages as they are installed, made from the tree's *.scd. Every page
renders and is clean for mandoc and groff; every option of the program's tables, every command and every
option of a --help stands in its page; pages that are referred to exist; configurations that a page marks
as examples (`; example` above a block) pass `hushfs check`.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

# Pages of others that ours may refer to: which there are here depends on what is installed.
OTHERS = {
    "df(1)", "jose(1)", "ls(1)",
    "open(2)", "read(2)", "rename(2)", "stat(2)",
    "systemd.exec(5)",
    "environ(7)", "inotify(7)",
    "mount(8)", "systemd-sysusers(8)",
}  # fmt: skip

# Said by mandoc of what scdoc puts around every heading and list; nothing else is left out at this level.
# The level below (style) wants lines of 80 bytes and titles in capitals, which scdoc does not make.
OF_SCDOC = "skipping paragraph macro"
# By troff of a word that is longer than the column of a table is wide: it stands out by some letters.
NARROW = "can't break line"

EXAMPLE = re.compile(r"^; example\n\n?```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"\\fB([A-Za-z][\w.-]*)\\fR\((\d)\)")
LONG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def tell(good, name):
    print("pass" if good else "fail", name)


def run(*command, **more):
    more = {"capture_output": True, "text": True, "timeout": 30} | more
    return subprocess.run([str(word) for word in command], check=False, **more)


def sources():
    return sorted(p for p in pathlib.Path(".").rglob("*.scd") if not {"build", ".git"} & set(p.parts))


def plain(text):
    """A made page without what only troff reads."""
    return re.sub(r"\\f[BIRP]|\\&", "", text).replace("\\-", "-")


def bold(page, words):
    return f"\\fB{words}\\fR" in page.replace("\\&", "")


def check_page(page):
    lint = run("mandoc", "-T", "lint", "-W", "warning", page).stdout.splitlines()
    said = [line for line in lint if OF_SCDOC not in line]
    groff = run("groff", "-t", "-ww", "-man", "-Tutf8", page)
    formatted = [line for line in groff.stderr.splitlines() if NARROW not in line]
    for line in said + formatted:
        print(f"error: {line}", file=sys.stderr)
    shown = run("mandoc", "-T", "utf8", page)
    tell(not said, f"{page.name}: mandoc finds nothing")
    tell(groff.returncode == 0 and not formatted, f"{page.name}: groff finds nothing")
    tell(shown.returncode == 0 and len(shown.stdout.splitlines()) > 20, f"{page.name}: renders")


def check_references(page, pages):
    text = page.read_text().replace("\\&", "")
    found = {f"{name}({section})" for name, section in REFERENCE.findall(text)}
    ours = {f"{p.stem}({p.suffix[1:]})" for p in pages}
    see = text.partition(".SH SEE ALSO")[2]
    for name in sorted(found):
        tell(name in ours | OTHERS, f"{page.name}: {name} exists")
    tell(REFERENCE.search(see) is not None, f"{page.name}: SEE ALSO says what else to read")
    title = f".TH \"{page.stem}\" \"{page.suffix[1:]}\""
    tell(title in text, f"{page.name}: its title is that of its file")


def check_options(hushfs, man):
    """Each row of the tables: its name, and its meaning beside it."""

    def rows(page, table, which):
        text = plain((man / page).read_text()) if (man / page).exists() else ""
        for row in table:
            default = "required" if row["required"] else row["default"] or "none"
            cells = [row["name"], None if "choices" in row else row["type"], default, row["help"]]
            form = r"\nT}\tT{\n".join(re.escape(cell) if cell else ".*" for cell in cells)
            tell(re.search(form, text) is not None, f"{page}: option {row['name']} of {which}")

    keys = json.loads(run(hushfs, "providers", "--keys", "--json").stdout)
    for group, table in keys.items():
        rows("hushfs.conf.5", table, group)
    general = plain((man / "hushfs.conf.5").read_text())
    for provider in json.loads(run(hushfs, "providers", "--json").stdout):
        page = f"hushfs-{provider['type']}.7"
        tell((man / page).exists(), f"{page}: there is a page of provider {provider['type']}")
        named = f"hushfs-{provider['type']}(7)" in general
        tell(named, f"hushfs.conf.5: names the page of provider {provider['type']}")
        rows(page, json.loads(run(hushfs, "providers", provider["type"], "--json").stdout)["options"], "its own")


def commands_of(*words):
    text = run(*words, "--help").stdout
    return re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)


def check_commands(words, page, names):
    """words: a program with commands; each of names, and the long options of its help, stand in page."""
    text = page.read_text()
    for name in names:
        item = rf"^\\fB(hushfs store )?{name}\\fR.*\n\.RS"
        tell(re.search(item, text, re.MULTILINE) is not None, f"{page.name}: command {name}")
        said = run(*words, name, "--help").stdout
        for option in sorted(set(LONG.findall(said)) - {"--help"}):
            tell(bold(text, option), f"{page.name}: option {option} of {name}")


def check_outcomes(man, tree):
    """What the command line and the mount promise in headers, in the pages."""
    page = (man / "hushfs.8").read_text()
    for number in re.findall(r"HUSH_CMD_\w+ = (\d)", (tree / "fs/cmd.h").read_text()):
        tell(bold(page, number), f"hushfs.8: exit status {number}")
    for name in re.findall(r'\] = "(user\.hushfs\.\w+)"', (tree / "fs/attr.c").read_text()):
        tell(bold(page, name), f"hushfs.8: extended attribute {name}")
    for name in re.findall(r'^    \{"([\w.]+)", (?:NULL|hush_)', (tree / "fs/dotfiles.c").read_text(), re.MULTILINE):
        tell(f".hushfs/{name}" in plain(page), f"hushfs.8: file .hushfs/{name}")


def check_examples(hushfs, source):
    examples = EXAMPLE.findall(source.read_text())
    marks = source.read_text().count("\n; example")
    tell(len(examples) == marks, f"{source.name}: each mark of an example stands above a block")
    for number, text in enumerate(examples, 1):
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / "hushfs.conf"
            file.write_text(text)
            file.chmod(0o644)
            checked = run(hushfs, "check", "-c", file)
        print(checked.stderr, end="", file=sys.stderr)
        tell(checked.returncode == 0, f"{source.name}: example {number} passes hushfs check")
    return len(examples)


def main(hushfs, build):
    man = pathlib.Path(build) / "man"
    pages = [man / source.name.removesuffix(".scd") for source in sources()]
    for source, page in zip(sources(), pages):
        made = page.exists() and page.stat().st_mtime >= source.stat().st_mtime
        tell(made, f"{page.name}: is made from {source}")
        if not made:
            continue
        check_page(page)
        check_references(page, pages)
        left = re.search(r"^; (options|outcomes|metrics)", page.read_text(), re.MULTILINE)
        tell(left is None, f"{page.name}: no table is missing")
    tell(sum(check_examples(hushfs, source) for source in sources()) >= 5, "the pages have examples")
    check_options(hushfs, man)
    commands = commands_of(hushfs)
    store = commands_of(hushfs, "store")
    tell({"mount", "store"} <= set(commands) and {"init", "import"} <= set(store), "--help lists commands")
    check_commands([hushfs], man / "hushfs.8", commands)
    check_commands([hushfs, "store"], man / "hushfs-sealed.7", store)
    check_outcomes(man, pathlib.Path("."))


main(sys.argv[1], sys.argv[2])
