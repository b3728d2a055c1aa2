#!/bin/sh
# Runs one benchmark: tests/bench/run.sh WORKLOAD [--events N] [--threads N[,N]…] [--durability commit|os] [--commit-interval MS] [--keys N[,N]…] [--data DIR] [--keep] [--peers [NAME[,NAME]…] [--peer-events N]]
#
# Builds what it needs in build/release. Standard output holds JSON lines only, one per run; all else goes to standard error. What the fields
# mean, and what is measured: docs/benchmarks.md. wire-WHAT loads `weir serve` and Apache Kafka: wire.py. sql-WORKLOAD runs its job in C and as a file of SQL, in turn. --peers (user-counts and ysb) runs other systems on the same input afterwards: peers/README.md.
set -eu
cd "$(dirname "$0")/../.."

list() {
    for source in tests/bench/bench_*.c; do
        name=${source##*/bench_}
        echo "${name%.c}" | tr _ -
        ! grep -q '\.sql = ' "$source" || echo "sql-${name%.c}" | tr _ -
    done
    printf 'wire-%s\n' produce consume latency idle ready
    echo views
}
usage() {
    sed -n '2s/^# //p' "$0" >&2
    echo "workloads: $(list | tr '\n' ' ')" >&2
    exit 2
}

build() {
    generator=
    if [ ! -f build/release/CMakeCache.txt ] && command -v ninja >/dev/null; then generator="-G Ninja"; fi
    {
        # shellcheck disable=SC2086
        cmake -S . -B build/release $generator -DCMAKE_BUILD_TYPE=Release -DWEIR_TESTS=ON &&
            cmake --build build/release --target "$@" --parallel "$(nproc)"
    } >&2 || { echo "the build failed; ./tests/run.sh --setup installs what it needs" >&2; exit 1; }
}

[ $# -ge 1 ] || usage
workload=$1
shift
list | grep -qxF -e "$workload" || usage
case $workload in # the job of the workload in C and in SQL
sql-*)
    workload=${workload#sql-}
    set -- --sql "$@"
    ;;
views) # questions to a view of a running job
    build weir
    exec /usr/bin/python3 tests/bench/views.py "$@"
    ;;
wire-*) # the servers and their load are run by a script
    build wire_load weir
    exec /usr/bin/python3 tests/bench/wire.py "${workload#wire-}" "$@"
    ;;
esac
target=bench_$(echo "$workload" | tr - _)

# Takes --peers [NAMES] and --peer-events N out of the arguments; what is left is for the bench program, and for the peers as well.
peers=
peer_events=
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    case $argument in
    --peers)
        peers=all
        case ${1-} in
        '' | -*) ;;
        *)
            [ "$left" -gt 0 ] || continue
            peers=$1
            shift
            left=$((left - 1))
            ;;
        esac
        ;;
    --peer-events)
        [ "$left" -gt 0 ] || usage
        peer_events=$1
        shift
        left=$((left - 1))
        ;;
    *) set -- "$@" "$argument" ;;
    esac
done
if [ -n "$peers" ]; then
    case $workload in user-counts | ysb) ;; *) usage ;; esac
fi

build "$target" weir
[ -n "$peers" ] || exec "build/release/bench/$target" "$@"

code=0
"build/release/bench/$target" "$@" || code=$?
case $code in 2 | 130) exit "$code" ;; esac # an option that it does not know; interrupted
if [ "$peers" != all ]; then set -- "$@" --peers "$peers"; fi
if [ -n "$peer_events" ]; then set -- "$@" --peer-events "$peer_events"; fi
# In the background, so that this shell hears SIGINT and SIGTERM at once and hands them on: the peers then end their processes and remove their data.
python3 tests/bench/peers/peers.py --workload "$workload" --bench "build/release/bench/$target" "$@" &
process=$!
trap 'kill "$process"; wait "$process"; exit 130' INT TERM
wait "$process" || code=$?
exit "$code"
