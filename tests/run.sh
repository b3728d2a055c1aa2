#!/usr/bin/env bash
# Installs what the tests need, builds, tests. The last line is "N passed, N failed"; the exit status is 0 when nothing failed.
#
#   ./tests/run.sh           release build and all tests, in less than ten minutes
#   ./tests/run.sh --setup   installs the packages of every kind of run, and nothing else
#   ./tests/run.sh --ci      what takes longer: sanitizers, gcc and clang with warnings as errors, a build by hand from a fresh clone, fuzzing
#                            for 20 s a target, Apache Kafka's own tools over our files and ours over a broker's, Kafka clients as they are published
#                            (Java's, of PyPI, of npm, Go's) against a server, Kafka Streams on it while both are killed, promtool over rules and metrics,
#                            PostgreSQL asked again, long random tests
#   ./tests/run.sh --full    all of it, with fuzzing for 5 minutes a target and random tests of the length one leaves alone overnight
#
# Logs and build trees lie in build/. TEST_JOBS sets how many tests run at once (the number of processors, at most 4).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/support/setup.sh

processors=$(nproc)
jobs=${TEST_JOBS:-$((processors < 4 ? processors : 4))}
passed=0
failed=0

count() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }

# step TITLE COMMAND...: one check that passes or fails as a whole.
step() {
    local title=$1 begin=$SECONDS rc=0
    shift
    "$@" || rc=$?
    count $rc
    [ $rc = 0 ] && say "$title: ok, $((SECONDS - begin)) s" || say "$title: FAILED, $((SECONDS - begin)) s"
}

# run_ctest TREE [CTEST ARGUMENT...], with the words of $under before ctest: adds ctest's own counts to ours; a ctest that runs no test at all counts as a failure.
run_ctest() {
    local tree=$1 log="build/log/ctest-$1.log" begin=$SECONDS summary skipped=""
    shift
    ${under:-} ctest --test-dir "build/$tree" --output-on-failure -j"$jobs" "$@" 2>&1 | tee "$log" || true
    summary=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\)$/\1 \2/p' "$log")
    if [ -z "$summary" ]; then
        failed=$((failed + 1))
    else
        set -- $summary
        skipped=$(grep -c '(Skipped)$' "$log" || true)
        failed=$((failed + $1))
        passed=$((passed + $2 - $1 - skipped))
    fi
    say "tests of build/$tree took $((SECONDS - begin)) s${skipped:+, $skipped skipped}"
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

release() {
    build_tree release -DWEIR_TESTS=ON -DWEIR_TEST_SECONDS=600 || fail "the release build failed"
    run_ctest release
}

# Sanitizers make code slow, so that the tests which draw at random draw less. Each sanitizer sees the tests that it can say something
# about; scripts about packages, documents and style are not among them.
sanitizers() {
    local shorter="WEIR_MODEL_SEQUENCES=50 WEIR_RANDOM_CASES=50 WEIR_RANDOM_SQL_CASES=50 WEIR_KILL_CYCLES=20"
    say "AddressSanitizer and UBSan"
    if build_tree asan -DWEIR_TEST_SECONDS=1200; then
        under="env $shorter UBSAN_OPTIONS=print_stacktrace=1" run_ctest asan
    else
        count 1
    fi
    say "ThreadSanitizer, on what has threads"
    # ThreadSanitizer of this compiler does not know the widest address randomisation of newer kernels.
    local fixed=""
    if setarch "$(uname -m)" -R true 2>/dev/null; then fixed="setarch $(uname -m) -R"; fi
    if build_tree tsan -DWEIR_TEST_SECONDS=1200; then
        under="$fixed env $shorter TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1" run_ctest tsan -L 'unit/log|unit/kafka|unit/state|unit/runtime|crash|cases|cli|interop|examples'
    else
        count 1
    fi
}

# fuzz_target SECONDS PROGRAM: from the corpus in tests/fuzz, when there is one for it. Findings are left in build/fuzz/findings.
fuzz_target() {
    local seconds=$1 program=$2 name=${2##*/} corpus
    corpus=$(mktemp -d "${TMPDIR:-/tmp}/weir-fuzz.XXXXXX")
    mkdir -p build/fuzz/findings
    local dirs=("$corpus") rc=0
    [ ! -d "tests/fuzz/corpus/${name#fuzz_}" ] || dirs+=("tests/fuzz/corpus/${name#fuzz_}")
    quietly "build/log/$name.log" "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/findings/$name-" "${dirs[@]}" || rc=$?
    rm -rf "$corpus"
    [ $rc != 0 ] || say "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/log/$name.log") inputs"
    return $rc
}

fuzz() {
    local seconds=$1 program
    if ! build_tree fuzz; then count 1; return; fi
    for program in build/fuzz/fuzz/fuzz_*; do
        [ -x "$program" ] && step "${program##*/} for $seconds s" fuzz_target "$seconds" "$program"
    done
}

# Apache Kafka's own tools read our files, and we read a broker's. Neither passed nor failed where there is no JDK or Maven Central cannot be reached; it says why.
interop() {
    local begin=$SECONDS rc=0
    build_tree release -DWEIR_TESTS=ON -- weir interop_write interop_read || { count 1; return; }
    tests/interop/interop.py build/release || rc=$?
    [ $rc != 77 ] || return 0
    count $rc
    [ $rc = 0 ] && say "interop: ok, $((SECONDS - begin)) s" || say "interop: FAILED, $((SECONDS - begin)) s"
}

# Kafka clients as they are published use 'weir serve'. Each that cannot be got says why, and counts neither way.
wire_clients() {
    local begin=$SECONDS rc=0
    build_tree release -DWEIR_TESTS=ON -- weir || { count 1; return; }
    tests/interop/wire_clients.py build/release || rc=$?
    [ $rc != 77 ] || return 0
    count $rc
    [ $rc = 0 ] && say "Kafka clients: ok, $((SECONDS - begin)) s" || say "Kafka clients: FAILED, $((SECONDS - begin)) s"
}

# Prometheus' own tool reads our rules and /metrics. Skipped, and it says why, where Debian's package cannot be got.
promtool() {
    local rc=0
    build_tree release -DWEIR_TESTS=ON -- weir || { count 1; return; }
    tests/docs/promtool.py build/release || rc=$?
    [ $rc = 77 ] || count $rc
}

# Kafka Streams under exactly_once_v2 works on 'weir serve' while processes of both are killed. Skipped as interop is.
streams() {
    local begin=$SECONDS rc=0
    build_tree release -DWEIR_TESTS=ON -- weir || { count 1; return; }
    tests/interop/streams.py build/release || rc=$?
    [ $rc != 77 ] || return 0
    count $rc
    [ $rc = 0 ] && say "Kafka Streams: ok, $((SECONDS - begin)) s" || say "Kafka Streams: FAILED, $((SECONDS - begin)) s"
}

# The tests that draw at random again, at length.
long_random() {
    say "long random tests"
    build_tree release -DWEIR_TESTS=ON -DWEIR_TEST_SECONDS=$((600 * $1)) || { count 1; return; }
    WEIR_RANDOM_CASES=$((6667 * $1)) WEIR_RANDOM_SQL_CASES=$((6667 * $1)) WEIR_RANDOM_JOBS=$jobs WEIR_KILL_CYCLES=$((200 * $1)) run_ctest release -R '^test_(random|random_sql|kill)$'
    local sequences=$((6667 * $1))
    step "the log's model, $sequences sequences" model_in_parallel $((sequences / jobs + 1))
}

# model_in_parallel SEQUENCES: as many of the log's model for each of $jobs ranges of seeds, in three processes a range, since they wait for one another's threads more
# than they compute.
model_in_parallel() {
    local i pids=() rc=0 share=$(($1 / 3 + 1))
    for ((i = 0; i < 3 * jobs; i++)); do
        WEIR_MODEL_SEQUENCES=$share build/release/tests/test_model $((1 + i % jobs * 10000000 + i / jobs * share)) >build/log/model-$i.log 2>&1 &
        pids+=($!)
    done
    for i in "${!pids[@]}"; do
        wait "${pids[$i]}" || { rc=1; grep -v ' [WE] /' build/log/model-"$i".log | tail -n 20; }
    done
    grep -h 'crash points were hit' build/log/model-*.log || true
    return $rc
}

ci() {
    local fuzz_seconds=$1 length=$2
    sanitizers
    step "gcc, warnings are errors" build_tree gcc
    step "clang, warnings are errors" build_tree clang
    step "PostgreSQL's answers to expressions" tests/support/expressions_from_postgres.sh --check
    step "PostgreSQL's answers to sums" tests/support/numeric_from_postgres.sh --check
    step "PostgreSQL's rows of files" tests/support/copy_from_postgres.sh --check
    step "a build by hand, from the documents' commands" env WEIR_BUILD_DIR=build/release tests/docs/test_docs.py --by-hand
    interop
    wire_clients
    streams
    promtool
    fuzz "$fuzz_seconds"
    long_random "$length"
}

case ${1:-} in
    "")
        install_packages "to build and test weir" $BUILD_PACKAGES $TEST_PACKAGES
        release
        ;;
    --setup)
        install_packages "to build and test weir" $BUILD_PACKAGES $TEST_PACKAGES $CI_PACKAGES
        exit 0
        ;;
    --ci)
        install_packages "to build and test weir" $BUILD_PACKAGES $TEST_PACKAGES $CI_PACKAGES
        ci 20 3
        ;;
    --full)
        install_packages "to build and test weir" $BUILD_PACKAGES $TEST_PACKAGES $CI_PACKAGES
        release
        ci 300 20
        ;;
    -h|--help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
finish
