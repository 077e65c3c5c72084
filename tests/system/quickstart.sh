#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# quickstart.sh: inside cleanroot, with the tree at /hushfs: packaging/quickstart does what it says on a
# Debian that has nothing, again and again, says what to do where it cannot, and leaves nothing. Then
# the README's tour, command by command. Prints `pass NAME` and `fail NAME`.
set -u

readonly tree=/hushfs out=/tmp/out said=/tmp/said base=/run/hushfs-demo
readonly mnt=$base/secrets limit=180
readonly command=$tree/packaging/quickstart
status=0
cd /

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then echo "pass $name"; else echo "fail $name"; fi
}

# The output has a line that matches.
says() { # PATTERN
    grep -Eq -- "$1" "$out"
}

# What stands below the last showing of a command.
below() { # COMMAND
    awk -v command="\$ $1" '$0 == command { said = ""; on = 1; next } /^(\$|$|\[)/ { on = 0 } on { said = said $0 "\n" } END { printf "%s", said }' "$out"
}

shows() { # COMMAND TEXT
    below "$1" | grep -qF -- "$2"
}

differ() { # TEXT TEXT
    [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]
}

# -- Runs ----------------------------------------------------------------------------------------

run() { # OPTION...
    "$command" "$@" </dev/null >"$out" 2>&1
    status=$?
    sed 's/^/| /' "$out"
}

runs() { # NAME OPTION...
    local name=$1 start=$SECONDS
    shift
    run "$@"
    check "$name: exit status 0" [ "$status" = 0 ]
    check "$name: within $limit s ($((SECONDS - start)) s)" [ $((SECONDS - start)) -le "$limit" ]
    check "$name: no step is missing" [ "$(grep -oE '^\[[0-9]/9\]' "$out" | tr -d '\n')" = '[1/9][2/9][3/9][4/9][5/9][6/9][7/9][8/9][9/9]' ]
}

fails() { # NAME TEXT OPTION...
    local name=$1 text=$2
    shift 2
    run "$@"
    check "$name: exit status 1" [ "$status" = 1 ]
    check "$name: says what to do" says "$text"
}

# As a terminal does it: SIGINT for all of its processes, once the output has a line that matches.
is_interrupted() { # NAME PATTERN SECONDS-AFTER
    local pid
    setsid env --default-signal=INT "$command" </dev/null >"$out" 2>&1 &
    pid=$!
    for _ in {1..3000}; do
        ! says "$2" || break
        sleep 0.02
    done
    sleep "$3" # into the middle of it
    kill -INT -- "-$pid"
    wait "$pid"
    status=$?
    sed 's/^/| /' "$out"
    check "$1: exit status 130" [ "$status" = 130 ]
    check "$1: says that what it made is removed" says 'not finished.*removed again'
}

# -- What is left --------------------------------------------------------------------------------

processes() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        tr '\0' ' ' <"$file"
        echo
    done 2>/dev/null | grep -E '^(nginx|hushfs|[^ ]*/hushfs|ninja|cmake|gcc|/usr/lib/gcc|runuser|openssl|apt-get|awk)'
}

# All names but those of the build, and who there is.
snapshot() {
    find / -path /proc -prune -o -path /sys -prune -o -path "$tree/build" -prune -o -path '/var/cache/apt/*' -prune -o -print | sort
    cat /etc/passwd /etc/group
}

leaves_nothing() { # NAME
    check "$1: nothing is mounted" [ -z "$(grep -E 'hushfs-demo|fuse' /proc/self/mountinfo)" ]
    check "$1: nothing is left in /run and /tmp" [ -z "$(find /run /tmp -name '*hushfs*' -o -name 'tmp.*')" ]
    check "$1: the user that it made is gone" sh -c '! getent passwd hushfs && ! getent group hushfs'
    sleep 1
    processes >"$said"
    sed 's/^/| left: /' "$said"
    check "$1: no process is left" [ ! -s "$said" ]
}

# -- What it must show ---------------------------------------------------------------------------

shows_it_all() { # NAME
    local password serials status_said
    password=$(below 'runuser -u www-data -- cat secrets/local/db/password && echo' | tr -d ' \n')
    check "$1: the permitted user reads a generated password" grep -qE '^[A-Za-z0-9]{32}$' <<<"$password"
    check "$1: another user is refused" shows 'runuser -u nobody -- cat secrets/local/db/password' 'Permission denied'
    check "$1: the private key is refused" shows 'runuser -u www-data -- cat secrets/local/tls/web/key' 'Permission denied'
    check "$1: the file's secret is there" shows 'cat secrets/files/license' 'a licence key'
    check "$1: the environment's secret is there" shows 'cat secrets/env/api-token && echo' t0ken
    check "$1: ls -l shows owner, group and mode" grep -Eq '^ *-r-------- 1 root root +5 .* api-token$' <(below 'ls -l secrets secrets/*')
    check "$1: the loop saw both passwords" says '^  ok: the loop read [0-9]+ times: [1-9][0-9]* × the old one, [1-9][0-9]* × the new one, nothing else, no error$'
    mapfile -t serials < <(grep -oE '^  serial=[0-9A-F]{20,}$' "$out")
    check "$1: nginx was asked twice, the mount once" [ "${#serials[@]}" = 3 ]
    check "$1: the mount had another certificate" differ "${serials[0]:-}" "${serials[1]:-}"
    check "$1: nginx serves it after the reload" [ "${serials[1]:-1}" = "${serials[2]:-2}" ]
    status_said=$(below 'hushfs status secrets')
    check "$1: status shows the instances" grep -Eq '^ *local +sealed +ok$' <<<"$status_said"
    check "$1: status shows no value" sh -c '! printf "%s" "$1" | grep -qE "t0ken|licence key|$2"' - "$status_said" "$password"
}

# A process that uses the demonstration, and the demonstration from outside.
looks_kept() {
    local port
    port=$(sed -n 's/.*listen 127.0.0.1:\([0-9]*\) ssl.*/\1/p' $base/nginx.conf)
    check 'kept: it is mounted, read-only' grep -q " $mnt ro.* - fuse.hushfs " /proc/self/mountinfo
    check 'kept: the permitted user reads' runuser -u www-data -- cat $mnt/local/db/password
    check 'kept: another user does not' sh -c '! runuser -u nobody -- cat "$1" 2>/dev/null' - $mnt/local/db/password
    openssl s_client -connect "127.0.0.1:$port" -CAfile $mnt/local/tls/web/certificate -verify_return_error </dev/null >"$said" 2>&1
    check 'kept: nginx serves the mounted certificate' grep -q 'Verify return code: 0 (ok)' "$said"
    check 'kept: says how to look' says '^ *cd /run/hushfs-demo$'
    check 'kept: says how to end it' says '^ *sudo /hushfs/packaging/quickstart --end$'
}

# -- The tour ------------------------------------------------------------------------------------

# Commands of the README below a heading, one a line.
commands_of() { # HEADING
    awk -v heading="## $1" '/^## / { on = $0 == heading } on && /^```/ { code = $0 == "```sh"; next } on && code' "$tree/README.md" |
        sed -e ':a' -e '/\\$/{N;s/\\\n *//;ta' -e '}'
}

# Each command in the same shell; what a comment says of an answer must hold.
tour() {
    local line words number=0
    cd $tree || exit
    while read -r line; do
        words=${line#*  # }
        [ "$words" != "$line" ] || words=''
        line=${line%%  # *}
        line=${line#sudo }
        [ "$line" != -s ] || continue
        number=$((number + 1))
        printf '| %s\n' "$line"
        eval "$line" >"$said" 2>&1 </dev/null
        status=$?
        sed 's/^/|   /' "$said"
        case $words in
        *'Permission denied'*) check "tour $number: refused: $line" grep -q 'Permission denied' "$said" ;;
        says\ *) check "tour $number: $words: $line" grep -qF -- "${words#says }" "$said" ;;
        *) check "tour $number: $line" [ "$status" = 0 ] ;;
        esac
    done < <(commands_of 'A tour')
    check 'tour: it has commands' [ "$number" -ge 12 ]
}

# -- As installed --------------------------------------------------------------------------------

installed() {
    local file
    cmake --install $tree/build/quickstart >"$said" 2>&1 || return 1
    for file in bin/hushfs libexec/hushfs/hushfs-keeper libexec/hushfs/hushfs-worker libexec/hushfs/hushfs-mover \
        share/doc/hushfs/examples/hushfs.conf share/doc/hushfs/examples/new-certificate lib/sysusers.d/hushfs.conf; do
        [ -f "/usr/local/$file" ] || { echo "not installed: $file"; return 1; }
    done
}

mounts_installed() {
    useradd --system hushfs
    mkdir -p /srv/secrets /mnt/secrets
    echo installed >/srv/secrets/one
    chgrp -R hushfs /srv/secrets
    printf '[mount]\npath = /mnt/secrets\n[provider/app]\ntype = file\nroot = /srv/secrets\n' >/root/hushfs.conf
    rm -rf $tree/build
    hushfs mount -c /root/hushfs.conf && [ "$(cat /mnt/secrets/app/one)" = installed ] && hushfs umount /mnt/secrets
}

# -- Failures ------------------------------------------------------------------------------------

# Before anything is installed.
fails_early() {
    runuser -u nobody -- $command >"$out" 2>&1
    status=$?
    check 'as another user: exit status 1' [ "$status" = 1 ]
    check 'as another user: says what to do' says 'run as root: sudo packaging/quickstart'
    fails 'an unknown option' '--help tells' --nonsense
    fails 'no number' '--port needs a number' --port 70000
    fails 'nothing to end' 'nothing to end' --end
    mv /dev/fuse /dev/away
    fails 'no /dev/fuse' 'modprobe fuse.*--device /dev/fuse'
    mv /dev/away /dev/fuse
    mv /etc/apt/sources.list /etc/apt/away
    fails 'no packages' 'the packages are not complete: see above'
    check 'no packages: says which are missing' says 'installing [0-9]+ packages: .*nginx'
    mv /etc/apt/away /etc/apt/sources.list
    is_interrupted 'interrupted while it installs' 'installing [0-9]+ packages: .*nginx' 0
    leaves_nothing 'interrupted while it installs'
}

fails_late() {
    local server
    openssl s_server -nocert -accept 127.0.0.1:18499 >/dev/null 2>&1 </dev/null &
    server=$!
    sleep 1
    fails 'the port is taken' 'port 18499 of 127.0.0.1 is taken: choose another one' --port 18499
    kill $server
    wait $server
    mkdir $base
    touch $base/of-another
    fails 'something else is there' "$base is there and not from here: move it away"
    check 'something else is there: it stays' [ -e $base/of-another ]
    rm -r $base
    echo '#error broken' >>$tree/fs/main.c
    fails 'the build fails' 'the build failed: all of it is in .*quickstart.log'
    check 'the build fails: says why' says 'error: #error broken'
    sed -i '$d' $tree/fs/main.c
    leaves_nothing 'failed late'
}

main() {
    check 'the system is clean: no compiler, no nginx' sh -c '! command -v gcc nginx openssl'
    touch "$out" "$said" /tmp/before /tmp/after
    fails_early
    runs first
    check 'first: nginx was not enabled' [ -z "$(find /etc/rc[2345].d -name 'S*nginx')" ]
    shows_it_all first
    leaves_nothing first
    snapshot >/tmp/before
    runs second
    check 'second: installs nothing' sh -c '! grep -q installing "$1"' - "$out"
    shows_it_all second
    leaves_nothing second
    rm -rf $tree/build
    is_interrupted 'interrupted while it builds' '^\[2/9\]' 2
    leaves_nothing 'interrupted while it builds'
    is_interrupted 'interrupted while nginx runs' '^  serial=' 0
    leaves_nothing 'interrupted while nginx runs'
    fails_late
    runs kept --keep
    looks_kept
    runs 'kept again' --keep --port 18470
    check 'kept again: on the port that was asked for' grep -q '127.0.0.1:18470 ssl' $base/nginx.conf
    run --end
    check 'ended: exit status 0' [ "$status" = 0 ]
    leaves_nothing ended
    snapshot >/tmp/after
    diff /tmp/before /tmp/after >"$said"
    sed 's/^/| /' "$said"
    check 'no file and no user is left by any of these runs' [ ! -s "$said" ]
    (tour)
    leaves_nothing tour
    check 'installed: all files' installed
    check 'installed: mounts, reads, unmounts' mounts_installed
}

main
