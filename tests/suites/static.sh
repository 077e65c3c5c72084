# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Suites that only look: at sources, documents and the programs as linked.

: "${root:?read by tests/run}" "${logs:?}" "${suite:=}"

suite_format() {
    c_files >"$logs/format.all"
    xargs -r -n 1 -P 2 sh -c 'clang-format --dry-run -Werror "$1" || echo "$1" >>"$0"' "$logs/format.bad" <"$logs/format.all"
    touch "$logs/format.bad"
    tally "$logs/format.all" "$logs/format.bad"
    rm "$logs/format.bad"
}

suite_shellcheck() {
    local file
    for file in $(shell_files); do
        check "$file" shellcheck -x "$file"
    done
}

suite_codespell() {
    local file
    files '*.[ch]' '*.md' '*.py' '*.sh' '*.txt' '*.conf' '*.scd' '*.json' 'tests/run' 'packaging/*' >"$logs/codespell.all"
    xargs -r codespell --ignore-words-list=inout,hist,fo,te,ans,donot <"$logs/codespell.all" | tee "$logs/codespell.out" || true
    sed 's,^\./,,; s/:[0-9]*: .*//' "$logs/codespell.out" | sort -u >"$logs/codespell.bad"
    tally "$logs/codespell.all" "$logs/codespell.bad"
}

suite_metrics() {
    c_files | grep -v '^tests/' >"$logs/metrics.own"
    c_files >"$logs/metrics.all"
    tests/suites/metrics "$logs/metrics.own" "$logs/metrics.all" | while read -r kind rest; do "$kind" "$rest"; done
}

suite_cppcheck() {
    need_build dev
    compiled_files dev >"$logs/cppcheck.all"
    mkdir -p build/cppcheck
    cppcheck --project=build/dev/compile_commands.json --cppcheck-build-dir=build/cppcheck -j 2 --quiet \
        --enable=warning,performance,portability --library=posix --library=tests/suites/cppcheck.xml \
        --inline-suppr --suppressions-list=tests/suites/cppcheck.suppress \
        --template='{file}:{line}: {severity}: {message} [{id}]' 2>&1 | tee "$logs/cppcheck.out"
    # A header's finding counts once, as a file of its own.
    sed -n "s,^$root/,,; s/:[0-9]*: [a-z]*: .*//p" "$logs/cppcheck.out" | sort -u >"$logs/cppcheck.bad"
    sort -u -o "$logs/cppcheck.all" "$logs/cppcheck.all" "$logs/cppcheck.bad"
    tally "$logs/cppcheck.all" "$logs/cppcheck.bad"
}

# One process a file: given several, clang-tidy 14 calls every second va_list uninitialised.
suite_tidy() {
    need_build dev
    compiled_files dev >"$logs/tidy.all"
    : >"$logs/tidy.bad"
    xargs -r -n 1 -P 2 sh -c '
        out=$(clang-tidy --quiet -p build/dev "$1" 2>&1) && exit 0
        printf "%s\n" "$out"
        echo "$1" >>"$0"' "$logs/tidy.bad" <"$logs/tidy.all"
    tally "$logs/tidy.all" "$logs/tidy.bad"
}

suite_docs() {
    need_build dev
    /usr/bin/python3 tests/suites/docs.py build/dev/bin/hushfs | while read -r kind rest; do "$kind" "$rest"; done
    /usr/bin/python3 tests/suites/manuals.py build/dev/bin/hushfs build/dev | while read -r kind rest; do "$kind" "$rest"; done
}

# How a program must be built: position independent, all relocations read-only before it starts, no
# executable stack, stack protector, fortified; with a heap that wipes.
suite_hardening() {
    local program name flag
    need_build dev
    for flag in _FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection; do
        check "every file is compiled with $flag" sh -c '! grep "\"command\":" "$1" | grep -qvF -- "$2"' - build/dev/compile_commands.json "$flag"
    done
    for program in build/dev/bin/hushfs*; do
        name=${program##*/}
        check "$name is PIE" grep -q 'Type: *DYN' <(readelf -hW "$program")
        check "$name has full RELRO" sh -c 'readelf -lW "$1" | grep -q GNU_RELRO && readelf -dW "$1" | grep -q BIND_NOW' - "$program"
        check "$name has no executable stack" grep -Eq 'GNU_STACK .* RW ' <(readelf -lW "$program")
        check "$name has stack protectors" grep -q __stack_chk_fail <(readelf -sW "$program")
        check "$name has no RPATH" sh -c '! readelf -dW "$1" | grep -Eq "RPATH|RUNPATH"' - "$program"
    done
    # fs/core/wipefree.c, in the programs that hold secrets, and seen by every library.
    for program in build/dev/{bin,test-bin}/{hushfs,hushfs-worker}; do
        for name in malloc free realloc; do
            check "${program#build/dev/} has a $name of its own" grep -Eq " FUNC +GLOBAL +DEFAULT +[0-9]+ $name\$" <(readelf --dyn-syms -W "$program")
        done
    done
}
