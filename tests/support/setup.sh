# setup.sh: the Debian packages that weir needs, and how the scripts install and build. Sourced by examples/run.sh and
# tests/run.sh, from the top of the tree; the lists below are the only place that names packages.

BUILD_PACKAGES="cmake ninja-build make gcc g++ liblmdb-dev liblz4-dev zlib1g-dev libsnappy-dev libzstd-dev libjansson-dev
    libisal-dev libxxhash-dev libsimdjson-dev libpg-query-dev libprotobuf-c-dev libre2-dev libuv1-dev libmicrohttpd-dev libcurl4-openssl-dev libssl-dev librdkafka-dev"
# cmocka runs the unit tests, python3 the oracles, Prometheus' parser reads our metrics, openssl makes certificates, kcat and the two Python clients talk to 'weir serve', curl asks it, tzdata has the zones of local windows, pkg-config is one of the ways to use the installed library.
TEST_PACKAGES="libcmocka-dev python3 python3-prometheus-client tzdata pkg-config jq curl openssl kcat python3-confluent-kafka python3-kafka"
# A second compiler, the sanitizers' symbolizer and libFuzzer; what runs Apache Kafka's tools and gets them; what counts instructions; PostgreSQL, whose answers ours are held to.
CI_PACKAGES="clang llvm libclang-rt-14-dev default-jdk-headless maven valgrind postgresql-15"

say() { printf '==> %s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# quietly LOG COMMAND...: the output goes to a log, of which the end is shown when the command fails.
quietly() {
    local log=$1 rc=0
    shift
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 || rc=$?
    if [ $rc -ne 0 ]; then
        tail -n 40 "$log" >&2
        printf '%s: failed (exit %d): %s; all of its output is in %s\n' "${0##*/}" $rc "$*" "$log" >&2
    fi
    return $rc
}

# install_packages WHY NAME...: installs with apt those that are missing, and says so first.
install_packages() {
    local why=$1 missing="" name as_root=""
    shift
    for name in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$name" 2>/dev/null || true) in
            *"ok installed") ;;
            *) missing="$missing $name" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || fail "no apt-get here; install what corresponds to these Debian packages: $missing"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "missing packages:$missing; run 'apt-get install$missing' as root, or install sudo"
        as_root=sudo
    fi
    say "installing with apt, $why:$missing"
    quietly build/log/apt-update.log $as_root apt-get update -q || exit 1
    quietly build/log/apt-install.log $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $missing || exit 1
}

# build_tree PRESET [CMAKE OPTION...] [-- TARGET...]: configures and builds build/PRESET.
build_tree() {
    local preset=$1 options=() targets=() begin=$SECONDS
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    if [ $# -gt 0 ]; then shift; targets=(--target "$@"); fi
    quietly "build/log/configure-$preset.log" cmake --preset "$preset" "${options[@]}" || return 1
    quietly "build/log/build-$preset.log" cmake --build "build/$preset" "${targets[@]}" || return 1
    say "built build/$preset in $((SECONDS - begin)) s"
}
