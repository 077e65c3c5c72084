#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# quickstart.sh: inside cleanroot, with the tree at /hushfs: packaging/quickstart does what it says on a
# Debian that has nothing, twice, and leaves nothing. Prints `pass NAME` and `fail NAME`.
set -u

readonly out=/tmp/out mnt=/run/hushfs-demo

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then echo "pass $name"; else echo "fail $name"; fi
}

says() { # PATTERN
    grep -Eq -- "$1" "$out"
}

# The lines after the last showing of a command hold a text.
after() { # COMMAND TEXT
    awk -v command="\$ $1" '$0 == command { said = ""; on = 1; next } /^(\$|$)/ { on = 0 } on { said = said $0 "\n" } END { printf "%s", said }' "$out" |
        grep -qF -- "$2"
}

quickstart() { # NAME OPTION...
    local name=$1 start=$SECONDS
    shift
    /hushfs/packaging/quickstart "$@" </dev/null >"$out" 2>&1
    local status=$?
    sed 's/^/| /' "$out"
    check "$name: exit status 0" [ "$status" = 0 ]
    check "$name: within 3 minutes ($((SECONDS - start)) s)" [ $((SECONDS - start)) -le 180 ]
}

shows_it_all() { # NAME
    check "$1: the permitted user reads" says '^  correct horse$'
    check "$1: another user is refused" after "runuser -u nobody -- cat $mnt/app/db/password" 'Permission denied'
    check "$1: another group is refused" after "runuser -u www-data -- cat $mnt/env/api-token" 'Permission denied'
    check "$1: the environment's secret is there" after "cat $mnt/env/api-token" t0ken
    check "$1: the rotation is seen" after "runuser -u www-data -- cat $mnt/app/db/password" 'battery staple'
    check "$1: status shows the instances" after "hushfs status $mnt" app
    check "$1: status shows no value" [ -z "$(sed -n "/^. hushfs status/,\$p" "$out" | grep -E 'battery|t0ken')" ]
}

no_process() {
    ! grep -qsE '^hushfs' /proc/[0-9]*/comm
}

leaves_nothing() { # NAME
    check "$1: nothing is mounted" [ -z "$(grep hushfs-demo /proc/self/mountinfo)" ]
    check "$1: nothing is left in /run" [ -z "$(ls -d /run/hushfs* 2>/dev/null)" ]
    sleep 2
    check "$1: no process is left" no_process
}

check 'the system is clean: no compiler' sh -c '! command -v gcc'
quickstart first
shows_it_all first
leaves_nothing first
check 'first: made the user' getent passwd hushfs
quickstart second
shows_it_all second
leaves_nothing second
quickstart kept --keep
check 'kept: it is still mounted' grep -q " $mnt " /proc/self/mountinfo
check 'kept: it is readable' [ "$(cat $mnt/app/db/password)" = 'battery staple' ]
quickstart 'after kept'
leaves_nothing 'after kept'

# As installed: the command finds the other programs, and the example is a configuration.
installed() {
    cmake --install /hushfs/build/quickstart >"$out" 2>&1 || return 1
    for file in bin/hushfs libexec/hushfs/hushfs-keeper libexec/hushfs/hushfs-worker libexec/hushfs/hushfs-mover \
        share/doc/hushfs/examples/hushfs.conf lib/sysusers.d/hushfs.conf; do
        [ -f "/usr/local/$file" ] || { echo "not installed: $file"; return 1; }
    done
}

mounts_installed() {
    mkdir -p /srv/secrets /mnt/secrets
    echo installed >/srv/secrets/one
    chgrp -R hushfs /srv/secrets
    printf '[mount]\npath = /mnt/secrets\n[provider/app]\ntype = file\nroot = /srv/secrets\n' >/root/hushfs.conf
    rm -rf /hushfs/build
    hushfs mount -c /root/hushfs.conf && [ "$(cat /mnt/secrets/app/one)" = installed ] && hushfs umount /mnt/secrets
}

check 'installed: all files' installed
getent group ssl-cert >/dev/null || groupadd --system ssl-cert # the example's, of Debian's package
check 'installed: the example is good' hushfs check -c /usr/local/share/doc/hushfs/examples/hushfs.conf
check 'installed: mounts, reads, unmounts' mounts_installed
check 'as another user: refused' sh -c '! runuser -u nobody -- /hushfs/packaging/quickstart >/tmp/out 2>&1'
check 'as another user: says what to do' says 'run it as root'
