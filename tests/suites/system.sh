# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Suites that need another system than this: a clean Debian 12, its own 6.1 kernel.

: "${root:?read by tests/run}" "${logs:?}" "${suite:=}"

# The lines `pass NAME`, `fail NAME` and `skip NAME` of a log.
results_in() { # LOG
    grep -E '^(pass|fail|skip) ' "$1" | while read -r kind rest; do "$kind" "$rest"; done || true
}

# What goes into the virtual machine, with the libraries that a minimal Debian lacks.
fill_takeover() { # DIRECTORY
    local program
    for program in build/dev/bin/hushfs build/dev/bin/hushfs-*; do
        copy_program "$1" "hushfs/bin/${program##*/}" "$program"
    done
    gcc -O2 -static -pthread -D_GNU_SOURCE -std=gnu17 -o "$1/hushfs/reader" tests/tools/reader.c tests/tools/tool.c
    /usr/bin/python3 tests/system/versions.py "$1/hushfs/versions" 400
    cp tests/system/takeover61.sh "$1/hushfs/"
}

suite_system_6_1() {
    local add status=0
    need_build dev
    # shellcheck source=tests/system/lib.sh
    . tests/system/lib.sh
    add=$(mktemp -d "${TMPDIR:-/tmp}/hushfs-takeover.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$add'" EXIT
    fill_takeover "$add"
    tests/system/qemu61 -a "$add" -t 800 -- bash /hushfs/takeover61.sh | tee "$logs/system-6.1.console" || status=$?
    results_in "$logs/system-6.1.console"
    check 'the virtual machine came to its end' [ "$status" = 0 ]
}

suite_quickstart_clean() {
    local packages=$HUSHFS_CACHE/packages status=0
    mkdir -p "$packages/partial"
    tests/system/cleanroot -b "$packages:/var/cache/apt/archives" -c "$root:/hushfs" -- bash /hushfs/tests/system/quickstart.sh |
        tee "$logs/quickstart-clean.console" || status=$?
    results_in "$logs/quickstart-clean.console"
    check 'the clean system came to its end' [ "$status" = 0 ]
}
