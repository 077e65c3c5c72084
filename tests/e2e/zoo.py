# SPDX-License-Identifier: Apache-2.0
"""How ordinary programs read a file: each entry leaves what it read in `out`, or fails.

A recipe is a shell script with {f} (the file), {d} (its directory), {ref} (a plain copy to compare
with), {out}, {work} (a directory of its own) and {go}, {java} (compiled programs). Programs that do
not give bytes (wc, openssl, nginx -t) copy the reference to {out} once they are content.
"""

import pathlib
import shutil
import subprocess

import harness
from harness import require

PYTHON = "/usr/bin/python3"
MAP = "import mmap;f=open('{f}','rb');m=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ{flags});open('{out}','wb').write(m[:])"
SAME = "cp {ref} {out}"

RECIPES = {
    "cat": "cat {f} > {out}",
    "cp": "cp {f} {out}",
    "dd": "dd if={f} of={out} bs=4k status=none",
    "head": "head -c 100000 {f} > {out}",
    "tail": "tail -c +1 {f} > {out}",
    "bash": 'x="$(<{f})" && printf "%s\\n" "$x" > {out}',
    "python-read": f"{PYTHON} -c \"open('{{out}}','w').write(open('{{f}}').read())\"",
    "python-path": f"{PYTHON} -c \"import pathlib as p;p.Path('{{out}}').write_bytes(p.Path('{{f}}').read_bytes())\"",
    "python-mmap-private": f'{PYTHON} -c "{MAP.replace("{flags}", ",flags=mmap.MAP_PRIVATE")}"',
    "python-mmap-shared": f'{PYTHON} -c "{MAP.replace("{flags}", "")}"',
    "python-copyfile": f"{PYTHON} -c \"import shutil;shutil.copyfile('{{f}}','{{out}}')\"",
    "perl": "perl -e 'local $/; open F, \"{f}\" or die; print <F>' > {out}",
    "node-read": "node -e 'fs=require(\"fs\");fs.writeFileSync(\"{out}\",fs.readFileSync(\"{f}\"))'",
    "node-copy": "node -e 'require(\"fs\").copyFileSync(\"{f}\",\"{out}\")'",
    "go-readfile": "{go} readfile {f} > {out}",
    "go-copy": "{go} copy {f} {out}",
    "java": "java -Xshare:auto -XX:TieredStopAtLevel=1 -cp {java} Readers {f} > {out}",
    "tar": "tar -C {d} -cf - {name} | tar -C {work} -xf - && mv {work}/{name} {out}",
    "rsync": "rsync {f} {out}",
    "rsync-a": "rsync -a {f} {out}",
    "curl-file": "curl -s -o {out} file://{f}",
    "git-hash-object": "test $(git hash-object --no-filters {f}) = $(git hash-object --no-filters {ref}) && " + SAME,
    "cmp": "cmp {f} {ref} && " + SAME,
    "diff": "diff -q {f} {ref} && " + SAME,
    "wc": "size=$(stat -c %s {ref}); test $(wc -c <{f}) = $size && test $(wc -c {f} | cut -d' ' -f1) = $size && " + SAME,
    "sha256sum": "test $(sha256sum <{f} | cut -c1-64) = $(sha256sum <{ref} | cut -c1-64) && " + SAME,
    "grep": "test $(grep -cxFf {ref} {f}) = $(grep -c . {ref}) && " + SAME,
    "test-s": "test -s {f} && " + SAME,
    "openssl": "for i in {f} {ref}; do openssl x509 -in $i -pubkey -noout && openssl pkey -in $i -pubout || exit; "
    "done >{work}/keys && test $(sort -u {work}/keys | wc -l) = $(openssl pkey -in {ref} -pubout | wc -l) && " + SAME,
    "ssh-keygen": "cp {ref} {work}/k && chmod 600 {work}/k && ssh-keygen -y -P '' -f {work}/k >{work}/k.pub && "
    "ssh-keygen -y -P '' -f {f} | cmp - {work}/k.pub && " + SAME,
    "nginx-test": "nginx -t -q -c {work}/nginx.conf -p {work} && " + SAME,
    "nginx-tls": "nginx -c {work}/nginx.conf -p {work} && {work}/client tls",
    "nginx-static": "nginx -c {work}/nginx.conf -p {work} && {work}/client static",
}
PROGRAMS = {
    "python-read": PYTHON, "perl": "perl", "node-read": "node", "node-copy": "node", "tar": "tar",
    "go-readfile": "go", "go-copy": "go", "java": "javac", "rsync": "rsync", "rsync-a": "rsync",
    "curl-file": "curl", "git-hash-object": "git", "openssl": "openssl", "ssh-keygen": "ssh-keygen",
    "nginx-test": "nginx", "nginx-tls": "nginx", "nginx-static": "nginx",
}  # fmt: skip

# The key is RSA in PKCS#1 form, so that OpenSSL, nginx and ssh-keygen all take the one file.
NGINX = """
user root; pid {work}/nginx.pid; error_log {work}/error.log; events {{ }}
http {{ access_log off; server {{
    listen unix:{work}/socket ssl; ssl_certificate {f}; ssl_certificate_key {f}; root {d};
}} }}
"""
CLIENT = """#!/bin/bash
trap 'kill -QUIT $(cat {work}/nginx.pid)' EXIT
if [ $1 = tls ]; then
    openssl s_client -unix {work}/socket </dev/null 2>/dev/null | openssl x509 -outform DER >{work}/served &&
        openssl x509 -in {ref} -outform DER | cmp - {work}/served && cp {ref} {out}
else
    curl -sk -m 5 --unix-socket {work}/socket -o {out} https://localhost/{name}
fi
"""


def make_pem():
    """A new RSA key and its certificate in one PEM file."""
    require("openssl")
    key, cert = harness.cache_dir() / "key.pem", harness.cache_dir() / "cert.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=localhost", "-days", "2", "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return key.read_bytes() + cert.read_bytes()


def go_program():
    program = harness.cache_dir() / "readers-go"
    if not program.exists():
        environ = {
            "PATH": "/usr/local/go/bin:/usr/bin:/bin", "HOME": str(harness.cache_dir()),
            "GOCACHE": str(harness.cache_dir() / "go"), "GO111MODULE": "off", "CGO_ENABLED": "0",
        }  # fmt: skip
        source = harness.TESTS / "tools" / "readers.go"
        subprocess.run([require("go"), "build", "-o", program, source], check=True, env=environ, timeout=300)
    return program


def java_classes():
    classes = harness.cache_dir() / "java"
    if not classes.exists():
        source = harness.TESTS / "tools" / "Readers.java"
        subprocess.run([require("javac"), "-d", classes, source], check=True, timeout=120)
    return classes


def run(reader, file, reference, work):
    """Read file with one reader; what it read must be the reference."""
    if reader in PROGRAMS:
        require(PROGRAMS[reader])
    work = pathlib.Path(work)
    work.mkdir()
    words = {
        "f": file, "d": file.parent, "name": file.name, "ref": reference, "work": work, "out": work / "out",
        "go": go_program() if reader.startswith("go-") else "",
        "java": java_classes() if reader == "java" else "",
    }  # fmt: skip
    if reader.startswith("nginx"):
        (work / "nginx.conf").write_text(NGINX.format(**words))
        (work / "client").write_text(CLIENT.format(**words))
        (work / "client").chmod(0o755)
    environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(work)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", RECIPES[reader].format(**words)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20 * harness.SLACK, env=environ,
    )  # fmt: skip
    assert done.returncode == 0, f"{reader}: status {done.returncode}: {done.stdout}{done.stderr}"
    got, wanted = (work / "out").read_bytes(), pathlib.Path(reference).read_bytes()
    assert got == wanted, f"{reader}: {len(got)} bytes, not the {len(wanted)} of the file"
    shutil.rmtree(work, ignore_errors=True)  # nginx may be removing its pid file just now
