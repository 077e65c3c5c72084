# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Suites that build and run: unit and contract tests, end to end, sanitizers, valgrind, fuzzing.

: "${root:?read by tests/run}" "${logs:?}" "${suite:=}"

# The tests of a preset as ctest knows them: "kind name", kind being contract or unit.
tests_of() { # PRESET
    ctest --test-dir "build/$1" --show-only=json-v1 | /usr/bin/python3 -c '
import json, sys
for test in json.load(sys.stdin)["tests"]:
    labels = next((p["value"] for p in test.get("properties", []) if p["name"] == "LABELS"), [])
    contract = "contract" in labels or "contract" in test["name"]
    print("contract" if contract else "unit", test["name"])'
}

results_of() { # JUNIT-FILE [PREFIX]
    /usr/bin/python3 tests/suites/junit.py "$@" | while read -r kind rest; do "$kind" "$rest"; done
}

# Run the tests of one kind, or all of them ('.*').
run_ctest() { # PRESET KIND [PREFIX]
    local preset=$1 kind=$2 prefix=${3:-} junit=$logs/$suite-ctest.xml pattern
    pattern=$(tests_of "$preset" | awk -v kind="$kind" '$1 ~ "^" kind "$" { printf "%s%s", sep, $2; sep = "|" }')
    [ -n "$pattern" ] || { fail "$suite: ctest knows no test of kind $kind"; return; }
    rm -f "$junit"
    # A real OpenBao for the contract of its provider; where there is none, that is skipped.
    /usr/bin/python3 -B -m tests.backends with-openbao "${launch[@]}" ctest --test-dir "build/$preset" -R "^($pattern)\$" \
        -j 5 --output-on-failure --timeout 300 --output-junit "$junit" || true
    if [ -s "$junit" ]; then results_of "$junit" "$prefix"; else fail "$suite: ctest wrote no results"; fi
}

# First the tests that only wait, so many at once as there are lanes; then all others, one after the other.
run_e2e() { # PRESET PREFIX [EXPRESSION OF MARKERS]
    local prefix=$2 marks=${3:+ and $3} lane pids=() status
    export HUSHFS_BIN=$root/build/$1/bin HUSHFS_TEST_BIN=$root/build/$1/test-bin
    rm -f "$logs/$suite"-e2e-*
    echo "-- tests that wait, at once: see $suite-e2e-[1-${#lanes[@]}].log"
    for lane in "${lanes[@]}"; do
        HUSHFS_LANE=$lane e2e_part "${lane%/*}" "waits$marks" >"$logs/$suite-e2e-${lane%/*}.log" 2>&1 &
        pids+=($!)
    done
    for lane in "${lanes[@]}"; do
        status=0
        wait "${pids[${lane%/*} - 1]}" || status=$?
        cat "$logs/$suite-e2e-${lane%/*}.log"
        e2e_results "${lane%/*}" "$status" "$prefix"
    done
    status=0
    e2e_part rest "not waits$marks" || status=$?
    e2e_results rest "$status" "$prefix"
}

e2e_part() { # NAME MARKERS
    # What a script starts in the background ignores SIGINT, and so would all tests.
    env --default-signal "${launch[@]}" /usr/bin/python3 -m pytest tests/e2e -v --tb=short -m "$2" \
        -o junit_family=xunit2 --junitxml="$logs/$suite-e2e-$1.xml"
}

e2e_results() { # NAME STATUS PREFIX
    local junit=$logs/$suite-e2e-$1.xml
    if [ -s "$junit" ]; then results_of "$junit" "$3"; else fail "$suite: pytest ($1) ended with $2 and wrote no results"; fi
    # 1: tests failed, and the results say which; anything else is pytest's own trouble.
    [ "$2" -le 1 ] || fail "$suite: pytest ($1) ended with $2"
}

readonly lanes=(1/3 2/3 3/3)
# By a marker, not by name: pytest says nothing of a name that it does not find.
readonly not_sanitized='not scans_memory and not counts_wakeups'
launch=() # what the programs of a suite are started with

suite_build_gcc() {
    check 'dev: gcc, warnings are errors' build dev
}

suite_build_clang() {
    check 'clang, warnings are errors' build clang
}

# The analyzer reports as the compiler does; one test per file that it looked at. Built from nothing, so
# that every file is.
suite_analyze() {
    rm -rf build/analyze
    build analyze -- -k 0 >"$logs/analyze.out" 2>&1 || true
    cat "$logs/analyze.out"
    compiled_files analyze >"$logs/analyze.all"
    sed -n "s,^$root/,,; s/:[0-9]*:[0-9]*: error: .*//p" "$logs/analyze.out" | sort -u >"$logs/analyze.bad"
    sort -u -o "$logs/analyze.all" "$logs/analyze.all" "$logs/analyze.bad"
    tally "$logs/analyze.all" "$logs/analyze.bad"
    check 'all is built' build analyze
}

suite_unit() {
    need_build dev
    run_ctest dev unit
}

suite_contract() {
    need_build dev
    run_ctest dev contract
}

suite_e2e() {
    need_build dev
    run_e2e dev ''
}

suite_asan() {
    need_build asan
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export HUSHFS_QUICK=1 HUSHFS_SLACK=4
    run_ctest asan '.*'
    # Tests end workers by SIGSEGV: that is no finding. One of the worker's own ends the same way, and the
    # keeper's log tells it.
    export ASAN_OPTIONS=$ASAN_OPTIONS:handle_segv=0
    run_e2e asan e2e: "$not_sanitized"
}

suite_tsan() {
    need_build tsan
    # The worker ends without waiting for threads that may wait for a backend: no leak. handle_segv: as above.
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:history_size=4:report_thread_leaks=0:handle_segv=0
    export HUSHFS_QUICK=1 HUSHFS_SLACK=4
    # ThreadSanitizer of gcc 12 cannot place its shadow where address randomisation is strong.
    launch=(setarch -R)
    run_ctest tsan '.*'
    run_e2e tsan e2e: "$not_sanitized"
}

suite_valgrind() {
    need_build dev
    tests_of dev | awk '$1 == "unit" { print $2 }' | grep -vxF -f <(awk '/^test_/ { print $1 }' tests/suites/valgrind.skip) |
        sed 's,^,build/dev/bin/,' >"$logs/valgrind.programs"
    sed 's,.*/,,' "$logs/valgrind.programs" >"$logs/valgrind.all"
    : >"$logs/valgrind.bad"
    xargs -r -n 1 -P 2 tests/suites/valgrind-one "$logs" <"$logs/valgrind.programs"
    tally "$logs/valgrind.all" "$logs/valgrind.bad"
}

# New inputs go to a throw-away directory: the corpus in the tree changes on purpose only.
suite_fuzz() {
    local seconds=30
    [ -z "${HUSHFS_QUICK:-}" ] || seconds=5
    need_build fuzz
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    find build/fuzz -type f -executable -name 'fuzz_*' -path '*/bin/*' | sort >"$logs/fuzz.programs"
    sed 's,.*/,,' "$logs/fuzz.programs" >"$logs/fuzz.all"
    : >"$logs/fuzz.bad"
    xargs -r -n 1 -P 2 tests/suites/fuzz-one "$logs" "$seconds" <"$logs/fuzz.programs"
    tally "$logs/fuzz.all" "$logs/fuzz.bad"
    no_target_forgotten
}

no_target_forgotten() {
    files 'tests/fuzz/fuzz_*.c' | sed 's,.*/,,; s/\.c$//' >"$logs/fuzz.sources"
    check 'every fuzz target is built' sh -c '[ -z "$(sort "$1" | comm -23 - "$2")" ]' - "$logs/fuzz.sources" "$logs/fuzz.all"
}
