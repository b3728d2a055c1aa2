#!/bin/sh
# Runs one benchmark: tests/bench/run.sh WORKLOAD [--events N] [--threads N[,N]…] [--durability commit|os] [--commit-interval MS] [--data DIR] [--keep]
#
# Builds what it needs in build/release. Standard output holds JSON lines only, one per run; all else goes to standard error. What the fields
# mean, and what is measured: docs/benchmarks.md.
set -eu
cd "$(dirname "$0")/../.."

list() {
    for source in tests/bench/bench_*.c; do
        name=${source##*/bench_}
        echo "${name%.c}" | tr _ -
    done
}
usage() {
    sed -n '2s/^# //p' "$0" >&2
    echo "workloads: $(list | tr '\n' ' ')" >&2
    exit 2
}

[ $# -ge 1 ] || usage
workload=$1
shift
list | grep -qxF -e "$workload" || usage
target=bench_$(echo "$workload" | tr - _)

generator=
if [ ! -f build/release/CMakeCache.txt ] && command -v ninja >/dev/null; then generator="-G Ninja"; fi
{
    # shellcheck disable=SC2086
    cmake -S . -B build/release $generator -DCMAKE_BUILD_TYPE=Release -DWEIR_TESTS=ON &&
        cmake --build build/release --target "$target" --parallel "$(nproc)"
} >&2 || { echo "the build failed; ./tests/run.sh --setup installs what it needs" >&2; exit 1; }
exec "build/release/bench/$target" "$@"
