# postgres_server.sh: a PostgreSQL 15 for the scripts that ask one. Sourced, by sh or bash, with set -e.
#
# Starts a server in a new directory, $dir, reachable through a socket there only, and removes both when the script ends. Run as root the server
# takes the account postgres: what it is to read below $dir has to be readable. ask: psql, with the arguments that it is given.
# Needs postgresql-15 (apt); PG_BIN: where its programs are.
bin=${PG_BIN:-/usr/lib/postgresql/15/bin}
dir=$(mktemp -d "${TMPDIR:-/tmp}/weir-postgres.XXXXXX")
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as="runuser -u postgres --"
fi
stop_postgres() {
    (cd "$dir" && $as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1) || true
    rm -rf "$dir"
}
trap stop_postgres EXIT
(
    cd "$dir"
    $as "$bin/initdb" -D "$dir/data" -U postgres -A trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    $as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-c listen_addresses= -c unix_socket_directories=$dir -c timezone=UTC -c fsync=off" start >/dev/null
)
ask() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir" -U postgres -d postgres "$@"; }
