#!/usr/bin/env bash
# Runs the hourly-revenue job from a bare clone and shows its result, then the program that bills orders exactly once, and the one that takes
# customers' visits out of an export in CSV.
#
#   ./examples/run.sh                 on the sample that comes with the project: 20,000 lines of a shop's books
#   ./examples/run.sh --full [FILE]   on the whole data set: 541,909 lines, NDJSON, plain or gzip. Without FILE it is looked
#                                     for in $WEIR_DATASET and in ../shared/data
#
# Installs the packages it needs with apt when they are missing (sudo when not root), builds into build/release, puts the lines
# into a log in a temporary directory, runs the job to the end of its input and prints the result as a table. Exit 0 when the result is
# the expected one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/support/setup.sh

usage() { sed -n '2,/^# *$/p;/^#   /p' "$0" | sed 's/^# \{0,1\}//'; }
input=examples/data/online-retail.ndjson.gz
full=no
case ${1:-} in
    "") ;;
    --full)
        full=yes input=${2:-}
        for dir in "${WEIR_DATASET:-}" ../shared/data; do
            [ -n "$input" ] || [ ! -f "$dir/online-retail.ndjson.gz" ] || input=$dir/online-retail.ndjson.gz
        done
        [ -n "$input" ] || fail "name the file: --full FILE, or point WEIR_DATASET at its directory"
        [ -r "$input" ] || fail "cannot read $input"
        ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

install_packages "to build weir" $BUILD_PACKAGES
# Tests need one package more; a tree that has them configured already keeps them.
options=()
[ -f build/release/CMakeCache.txt ] || options=(-DWEIR_TESTS=OFF)
build_tree release "${options[@]}" -- weir revenue user-counts pipeline billing visits || exit 1

data=$(mktemp -d "${TMPDIR:-/tmp}/weir-example.XXXXXX")
trap 'rm -rf "$data"' EXIT

# One line per window from the job's output topic. Rows are upserts, so the last one of a country and hour holds. Money is
# counted in thousandths, which keeps it exact in awk's numbers.
final_rows() {
    LC_ALL=C awk '
        function field(name,   rest) {
            rest = substr($0, index($0, "\"" name "\":") + length(name) + 3)
            return substr(rest, 1, 1) == "\"" ? substr(rest, 2, index(substr(rest, 2), "\"") - 1) : substr(rest, 1, match(rest, /[,}]/) - 1)
        }
        function thousandths(text,   parts) {
            split(text, parts, ".")
            return parts[1] * 1000 + substr(parts[2] "000", 1, 3)
        }
        { key = field("window_start") "|" field("country"); row[key] = field("orders") "|" sprintf("%.0f", thousandths(field("revenue"))) }
        END { for (key in row) print key "|" row[key] }' | LC_ALL=C sort
}

say "weir produce online-retail < ${input##*/}"
gzip -dcf "$input" | build/release/weir produce online-retail --data "$data" --timestamp ts
say "revenue --until-end --close-windows"
build/release/revenue --data "$data" --until-end --close-windows
build/release/weir consume hourly-revenue --data "$data" --until-end --format value | final_rows >"$data/result"

printf '\nRevenue per country and hour, the ten best of them:\n\n'
LC_ALL=C sort -t'|' -k4,4nr "$data/result" | LC_ALL=C awk -F'|' '
    BEGIN { printf "  %-16s  %-20s  %7s  %12s\n", "hour (UTC)", "country", "orders", "revenue"
            printf "  %-16s  %-20s  %7s  %12s\n", "----------------", "--------------------", "-------", "------------" }
    { windows++; orders += $3; total += $4 }
    NR <= 10 { hour = substr($1, 1, 16); sub("T", " ", hour); printf "  %-16s  %-20s  %7d  %12.2f\n", hour, $2, $3, $4 / 1000 }
    END { if (windows > 10) printf "  … and %d more\n", windows - 10
          printf "\n  %d windows, %d orders, revenue %.3f\n", windows, orders, total / 1000 }' | tee "$data/table"

# Workers that die in the middle of a transaction, and the same report as if none had.
bill_orders() {
    say "billing order 1000; work, and die in a transaction, twice; work"
    export WEIR_DATA=$data/billing
    build/release/billing order 1000
    for transaction in 3 7; do
        build/release/billing work --crash-after $transaction && return 1
    done
    build/release/billing work
    build/release/billing report | tee "$data/billed"
    grep -qx '1000 orders, 1000 invoices' "$data/billed"
}

# CSV in, CSV out: sessions, quantiles and words of C functions on the way.
find_visits() {
    local log=$data/visits-log
    say "weir produce retail-lines < online-retail.csv; visits --until-end --close-windows"
    gzip -dc examples/data/online-retail.csv.gz | tail -n +2 | build/release/weir produce retail-lines --partitions 3 --data "$log" &&
        build/release/visits --threads 2 --until-end --close-windows --data "$log" &&
        build/release/weir consume visits --data "$log" --until-end --format value | LC_ALL=C sort >"$data/visits" &&
        cmp "$data/visits" examples/visits/expected.csv
}

say_match() { printf '\n%s\n' "$1"; exit "$2"; }
if [ $full = no ]; then
    final_rows <examples/revenue/expected.ndjson >"$data/expected"
    diff "$data/expected" "$data/result" >"$data/diff" ||
        { head -n 20 "$data/diff"; say_match "The result DIFFERS from examples/revenue/expected.ndjson (< expected, > found)." 1; }
    printf '\n%s\n\n' "The result is exactly examples/revenue/expected.ndjson."
    bill_orders || say_match "Orders and invoices DIFFER." 1
    printf '\n%s\n\n' "Each order was billed once."
    find_visits || say_match "The visits DIFFER from examples/visits/expected.csv." 1
    say_match "The visits are exactly examples/visits/expected.csv." 0
fi
lines=$(gzip -dcf "$input" | wc -l)
[ "$lines" = 541909 ] || say_match "$lines lines are not the whole data set (541909), so there is nothing to compare with." 0
grep -qx '  4474 windows, 397884 orders, revenue 8911407.904' "$data/table" ||
    say_match "The result DIFFERS: 4474 windows, 397884 orders and 8911407.904 are right." 1
say_match "The result is exactly right: 4474 windows, 397884 orders, 8911407.904." 0
