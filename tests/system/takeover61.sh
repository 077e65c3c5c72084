#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# takeover61.sh: inside qemu61. Readers read secrets that rotate while the worker is killed 20 times
# and the mover 5 times, in both open modes: no read fails, none is torn, nothing is left in state D.
# How long a read stalls is not judged: the machine is emulated. Prints `pass NAME` and `fail NAME`.
#
# Laid over the root: /hushfs/bin (programs), /hushfs/reader (tests/tools/reader.c), /hushfs/versions.
set -u

readonly bin=/hushfs/bin mnt=/mnt/secrets source=/srv/source stage=/srv/stage
readonly secrets='a b c d'
readonly kills=${KILLS:-20} wait_s=60

pass() { echo "pass $1"; }
fail() { echo "fail $1"; }
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then pass "$name"; else fail "$name"; fi
}

# Into the variable pids: those whose program is this; a zombie has ended. Without a process of its
# own: on an emulated machine each costs what a read of a secret costs.
find_pids() { # COMM
    local file comm state pid
    pids=''
    for file in /proc/[0-9]*/stat; do
        { read -r pid comm state _ <"$file"; } 2>/dev/null || continue
        if [ "$comm" = "($1)" ] && [ "$state" != Z ]; then pids="$pids$pid "; fi
    done
}

until_true() { # COMMAND...
    local end=$((SECONDS + wait_s))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

put() { # SECRET NUMBER
    install -o root -g hushfs -m 440 "/hushfs/versions/$2" "$stage/$1"
    mv "$stage/$1" "$source/$1"
}

# Version after version of each secret until the file $1 is gone; the last number goes to /run/last.
rotate() {
    local number=1 secret
    while [ -e "$1" ] && [ -e "/hushfs/versions/$((number + 1))" ]; do
        number=$((number + 1))
        for secret in $secrets; do put "$secret" "$number"; done
        echo "$number" >/run/last
        sleep 0.3
    done
}

config() { # OPEN-MODE
    mkdir -p "$source" "$stage" "$mnt"
    cat >/run/hushfs.conf <<C
[mount]
path = $mnt
user = hushfs
open = $1

[provider/files]
type = file
root = $source
ttl = 2
mode = 0444
C
    chmod 600 /run/hushfs.conf
}

another_pid() { # COMM OLD
    find_pids "$1"
    [ -n "$pids" ] && [ "$pids" != "$2" ]
}

kill_one() { # COMM
    local old
    until_true another_pid "$1" none || return 1
    old=$pids
    # shellcheck disable=SC2086
    kill -KILL $old
    until_true another_pid "$1" "$old"
}

# 20 times the worker, every fourth time the mover as well.
kill_many() {
    local turn
    for turn in $(seq "$kills"); do
        kill_one hushfs-worker || { echo "no new worker after kill $turn"; return 1; }
        if [ $((turn % 4)) = 0 ]; then kill_one hushfs-mover || { echo "no new mover after kill $turn"; return 1; }; fi
        echo "killed $turn of $kills, $SECONDS s"
        sleep "0.$((RANDOM % 10))"
    done
}

number_in() { # KEY < json
    sed -n "s/.*\"$1\":\\([0-9]*\\).*/\\1/p"
}

shows() { # SECRET NUMBER
    cmp -s "/hushfs/versions/$2" "$mnt/files/$1"
}

# Processes that are in state D each time of three.
in_state_d() {
    for _ in 1 2 3; do
        grep -l '^State:.*D' /proc/[0-9]*/status 2>/dev/null
        sleep 1
    done | sort | uniq -c | awk '$1 == 3 { print $2 }'
}

judge() { # MODE
    local mode=$1 last key
    cat /run/report
    for key in failed torn backwards; do
        check "$mode: no read $key" [ "$(number_in "$key" </run/report)" = 0 ]
    done
    check "$mode: there were reads" [ "$(number_in reads </run/report)" -gt 100 ]
    last=$(cat /run/last)
    check "$mode: rotations were seen" [ "$(number_in newest </run/report)" -gt 3 ]
    check "$mode: the last version is shown" until_true shows a "$last"
    check "$mode: nothing is left in state D" [ -z "$(in_state_d)" ]
}

one_mode() { # MODE
    local mode=$1 secret reader rotator
    config "$mode"
    for secret in $secrets; do put "$secret" 1; done
    "$bin/hushfs" mount -c /run/hushfs.conf || { fail "$mode: mount"; return; }
    pass "$mode: mount"
    check "$mode: a secret is read" shows a 1
    # shellcheck disable=SC2046,SC2086
    /hushfs/reader -n 4 -t 900000 -p 10000 $(printf "$mnt/files/%s " $secrets) >/run/report &
    reader=$!
    : >/run/rotating
    rotate /run/rotating &
    rotator=$!
    check "$mode: $kills workers and $((kills / 4)) movers replaced" kill_many
    rm /run/rotating
    wait "$rotator"
    kill -TERM "$reader"
    wait "$reader"
    judge "$mode"
    check "$mode: unmount" "$bin/hushfs" umount "$mnt"
    check "$mode: no process is left" until_true no_process
    check "$mode: no mount is left" [ -z "$(grep " $mnt " /proc/self/mountinfo)" ]
}

no_process() {
    local name
    for name in hushfs-keeper hushfs-worker hushfs-mover; do
        find_pids "$name"
        [ -z "$pids" ] || return 1
    done
}

uname -r
check 'the kernel is 6.1' [ "$(uname -r | cut -d . -f 1,2)" = 6.1 ]
useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin hushfs
one_mode checked
one_mode kernel
check 'the kernel complains of nothing' [ -z "$(dmesg | grep -E 'BUG:|Oops|WARNING:|blocked for more than' | tee /dev/stderr)" ]
