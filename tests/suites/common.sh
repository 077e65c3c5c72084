# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the suites share; read by tests/run, which sets root and logs. A suite runs in a shell of its
# own with `set -e`; what it prints goes to its log.

: "${root:?read by tests/run}" "${logs:?}" "${suite:=}"

begin() { # SUITE
    suite=$1
    results=$logs/$suite.results
    export HUSHFS_TEST_LOGS=$logs/$suite-backends # what real backends said
    rm -rf "$HUSHFS_TEST_LOGS"
}

pass() { # NAME
    printf 'pass %s\n' "$1" >>"$results"
    printf -- '-- passed: %s\n' "$1"
}

fail() { # NAME
    printf 'fail %s\n' "$1" >>"$results"
    printf -- '-- FAILED: %s\n' "$1"
}

skip() { # NAME: WHY
    printf 'skip %s\n' "$1" >>"$results"
    printf -- '-- skipped: %s\n' "$1"
}

# check NAME COMMAND...: one test, which passes if the command succeeds.
check() {
    local name=$1
    shift
    if "$@"; then pass "$name"; else fail "$name"; fi
}

# One test per line of a list: those that a second list names failed. Both from files.
tally() { # ALL FAILED
    local name
    while read -r name; do
        if grep -qxF -- "$name" "$2"; then fail "$name"; else pass "$name"; fi
    done <"$1"
}

# Tracked and new files that match the patterns of git, one a line; outside of a clone: all there are.
files() { # PATTERN...
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
            [ ! -e "$file" ] || printf '%s\n' "$file"
        done
    else
        local pattern
        for pattern; do
            find . -path ./build -prune -o -type f -name "${pattern##*/}" -print | sed 's,^\./,,'
        done
    fi | sort -u
}

c_files() {
    files 'fs/*.[ch]' 'providers/*.[ch]' 'mount-helpers/*.[ch]' 'tests/*.[ch]'
}

# Scripts by their first line or their name.
shell_files() {
    files '*' | while read -r file; do
        case $file in
        *.sh | *.bash) printf '%s\n' "$file" ;;
        *.*) ;;
        *) head -n 1 "$file" | grep -qE '^#!.*\b(ba|da)?sh\b' && printf '%s\n' "$file" ;;
        esac
    done || true
}

# Configure and build a preset of CMakePresets.json.
build() { # PRESET [OPTION OF CMAKE --build...]
    local preset=$1
    shift
    cmake --preset "$preset" -DBUILD_TESTING=ON >"$logs/configure-$preset.log" 2>&1 || {
        cat "$logs/configure-$preset.log"
        return 1
    }
    cmake --build --preset "$preset" -j 2 "$@"
}

# The same for a suite that needs it: without it nothing else of the suite makes sense.
need_build() {
    build "$@" >"$logs/build-$1-for-$suite.log" 2>&1 || {
        tail -n 40 "$logs/build-$1-for-$suite.log"
        fail "$suite: the preset $1 does not build"
        exit 1
    }
}

# The C files that a preset compiles, one a line.
compiled_files() { # PRESET
    /usr/bin/python3 -c '
import json, os, sys
root = os.getcwd() + "/"
files = {os.path.join(c["directory"], c["file"]) for c in json.load(open(sys.argv[1]))}
print("\n".join(sorted(f[len(root):] for f in files if f.startswith(root) and f.endswith(".c"))))
' "build/$1/compile_commands.json"
}
