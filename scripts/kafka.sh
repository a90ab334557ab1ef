#!/usr/bin/env bash
# Apache Kafka on this machine, for tests: fetched once from Maven Central, run on loopback.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/kafka.sh COMMAND

  start [N]           a fresh cluster of N brokers (default 1, at most 5); prints EVENTBUS_TEST_BROKERS=…
  stop [ID]           broker ID, or all of them, in an orderly way; their data stays until the next start
  kill ID             SIGKILL
  pause ID, resume ID SIGSTOP, SIGCONT
  fill ID             broker ID finds its disk full until it is restarted: no file of its grows any more
  move ID             stop broker ID and start it on the same data at another address, which is printed
  add                 start one more broker, with the next id and no data, and print its address
  remove              stop the broker that was added last, and forget its data
  restart [ID]        stop broker ID, or all of them, and start again on the same data
  status              the brokers, their state, address and process id
  tool CLASS [ARG…]   one of Kafka's command-line classes, e.g. org.apache.kafka.tools.TopicCommand
  run [N] -- COMMAND  COMMAND with EVENTBUS_TEST_BROKERS set: to what it names already, or else to a cluster
                      of N brokers that ends with the command, however that ends
  fetch               only download the jars; prints the class path

Environment:
  KAFKA_VERSION       default 4.4.0; 2.8 and later are known to work (2.x with ZooKeeper beside it)
  KAFKA_CLUSTER       a name, so that several clusters can run side by side (default "default")
  KAFKA_PORT          first port of the first broker (default 19092; the next free ten are taken)
  KAFKA_HEAP          of each broker (default 512m)
  KAFKA_PROXY         LISTEN:ADVERTISED, two ports: broker 1 listens on the first too, and sends those who come
                      that way to the second, where a proxy stands before it (Apache Kafka 3 and later)
  KAFKA_PROPERTIES    a file of broker properties that are added to, or override, the script's own
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
version=${KAFKA_VERSION:-4.4.0}
cluster=${KAFKA_CLUSTER:-default}
cache=$root/.cache/kafka
libs=$cache/$version/libs
dir=$cache/clusters/$cluster

say() { printf 'kafka: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing; install $2"; }

fetch() {
  need java "a Java runtime, 17 or later"
  [ -e "$libs" ] && return
  need mvn "Apache Maven"
  say "fetching Apache Kafka $version"
  local logging=log4j2 part=$cache/$version/part.$$
  case $version in 2.* | 3.*) logging=log4j1 ;; esac
  mkdir -p "$part"
  mvn --batch-mode --quiet --file "$here/kafka/pom.xml" --activate-profiles "$logging" "-Dkafka.version=$version" \
    dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$part/libs" >"$part/mvn.log" 2>&1 ||
    { cat "$part/mvn.log" >&2; rm -rf "$part"; die "Maven could not fetch Apache Kafka $version"; }
  # Renamed when complete: an interrupted download is never taken for a whole one.
  [ -e "$libs" ] || mv "$part/libs" "$libs"
  rm -rf "$part"
}

# run_java LEVEL HEAP CLASS ARG… becomes the Java process.
run_java() {
  local level=$1 heap=$2
  shift 2
  exec java "-Xmx$heap" -Djava.awt.headless=true "-Dkafka.log.level=$level" \
    "-Dlog4j.configuration=file:$here/kafka/log4j.properties" \
    "-Dlog4j2.configurationFile=$here/kafka/log4j2.properties" -cp "$libs/*" "$@"
}

# daemon NAME CLASS CONFIG starts a process that outlives this script and hears no Ctrl-C of the terminal:
# job control gives it a process group of its own.
daemon() {
  set -m
  (trap '' HUP && run_java INFO "${KAFKA_HEAP:-512m}" "$2" "$3") </dev/null >>"$dir/$1.log" 2>&1 &
  echo $! >"$dir/$1.pid"
  disown # or the shell would report how it ended
  set +m
}

# pid_of NAME prints the process id if the process lives; ids that went to another process since don't count.
pid_of() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) && ps -o args= -p "$pid" 2>/dev/null | grep -qF "$dir/$1.properties" && echo "$pid"
}

# signal NAME SIGNAL
signal() {
  local pid
  pid=$(pid_of "$1") || die "$1 of cluster \"$cluster\" is not running"
  kill "-$2" "$pid"
}

# end NAME SECONDS asks the process to stop, and kills it if it doesn't within that time.
end() {
  local pid tenths=$(($2 * 10))
  pid=$(pid_of "$1") || return 0
  kill -TERM "$pid" && kill -CONT "$pid" || return 0
  while [ $tenths -gt 0 ] && pid_of "$1" >/dev/null; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  if pid_of "$1" >/dev/null; then
    say "$1 does not stop: SIGKILL"
    kill -KILL "$pid" || return 0
    while pid_of "$1" >/dev/null; do sleep 0.1; done
  fi
}

load() {
  [ -e "$dir/cluster" ] || die "there is no cluster \"$cluster\"; start one first"
  # shellcheck source=/dev/null
  . "$dir/cluster" # size, base, version
  libs=$cache/$version/libs
}

ids() { seq 1 "$size"; }
# A broker that was moved keeps its port in a file.
port_of() { cat "$dir/broker-$1.port" 2>/dev/null || echo $((base + $1 - 1)); }
check_id() { ids | grep -qx -e "${1:-}" || die "name a broker from 1 to $size"; }

brokers() {
  local id list=
  for id in $(ids); do list+=,127.0.0.1:$(port_of "$id"); done
  echo "${list#,}"
}

# A cluster takes ten ports: five for clients, four for controllers, the last for ZooKeeper.
ten_are_free() {
  local port
  for port in $(seq "$1" $(($1 + 9))); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 1; fi
  done
}

configure() {
  local id=$1 copies=$((size < 3 ? size : 3)) voters='' node
  local insync=$((copies < 2 ? 1 : copies - 1))
  [ "$size" = 2 ] && insync=1
  for node in $(controllers); do voters+=,$node@127.0.0.1:$((base + 4 + node)); done
  {
    case $version in
      2.*)
        echo "broker.id=$id"
        echo "zookeeper.connect=127.0.0.1:$((base + 9))"
        # As long as KRaft takes to fence a broker (broker.session.timeout.ms).
        echo "zookeeper.session.timeout.ms=9000"
        echo "listeners=PLAINTEXT://127.0.0.1:$(port_of "$id")"
        ;;
      *)
        echo "node.id=$id"
        echo "controller.quorum.voters=${voters#,}"
        echo "controller.listener.names=CONTROLLER"
        echo "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"
        if [ "$id" -le 3 ]; then
          echo "process.roles=broker,controller"
          echo "listeners=PLAINTEXT://127.0.0.1:$(port_of "$id"),CONTROLLER://127.0.0.1:$((base + 4 + id))"
        else
          echo "process.roles=broker"
          echo "listeners=PLAINTEXT://127.0.0.1:$(port_of "$id")"
        fi
        ;;
    esac
    cat <<PROPERTIES
advertised.listeners=PLAINTEXT://127.0.0.1:$(port_of "$id")
log.dirs=$dir/broker-$id
auto.create.topics.enable=false
default.replication.factor=$copies
min.insync.replicas=$insync
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$copies
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$insync
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$insync
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.backoff.ms=1000
PROPERTIES
    [ -z "${KAFKA_PROXY:-}" ] || [ "$id" != 1 ] || cat <<PROPERTIES
listeners=PLAINTEXT://127.0.0.1:$(port_of 1),CONTROLLER://127.0.0.1:$((base + 5)),PROXIED://127.0.0.1:${KAFKA_PROXY%:*}
advertised.listeners=PLAINTEXT://127.0.0.1:$(port_of 1),PROXIED://127.0.0.1:${KAFKA_PROXY#*:}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
PROPERTIES
    [ -z "${KAFKA_PROPERTIES:-}" ] || cat "$KAFKA_PROPERTIES"
  } >"$dir/broker-$id.properties"
}

# Three controllers survive the loss of one; more would only cost.
controllers() { seq 1 $((size < 3 ? 1 : 3)); }

# format ID…
format() {
  local id
  case $version in
    2.*)
      printf '%s\n' "dataDir=$dir/zookeeper" clientPortAddress=127.0.0.1 "clientPort=$((base + 9))" \
        admin.enableServer=false maxClientCnxns=0 >"$dir/zookeeper.properties"
      return
      ;;
  esac
  for id in "$@"; do
    (run_java WARN 256m kafka.tools.StorageTool format -t ZXZlbnRidXMtdGVzdGluZw -c "$dir/broker-$id.properties") \
      >>"$dir/broker-$id.log" 2>&1 || { tail -n 20 "$dir/broker-$id.log" >&2; die "could not format the data directory of broker $id"; }
  done
}

launch() {
  case $version in
    2.*) pid_of zookeeper >/dev/null || daemon zookeeper org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zookeeper.properties" ;;
  esac
  local id
  for id in "$@"; do daemon "broker-$id" kafka.Kafka "$dir/broker-$id.properties"; done
}

# ready ADDRESS… waits until these brokers serve and know of each other.
ready() {
  mkdir -p "$cache"
  (cd "$root" && go build -o "$cache/ready" ./scripts/kafka/ready)
  "$cache/ready" -timeout 90s "$@" && return
  local id
  for id in $(ids); do
    say "the end of $dir/broker-$id.log:"
    tail -n 15 "$dir/broker-$id.log" >&2
  done
  return 1
}

start() {
  local count=${1:-1} id
  [[ $count =~ ^[1-5]$ ]] || die "start 1 to 5 brokers, not \"$count\""
  if [ -e "$dir/cluster" ]; then
    for id in 1 2 3 4 5; do
      pid_of "broker-$id" >/dev/null && die "cluster \"$cluster\" is running; stop it first, or name another with KAFKA_CLUSTER"
    done
  fi
  need go "Go"
  fetch
  size=$count base=${KAFKA_PORT:-19092}
  until ten_are_free "$base"; do
    base=$((base + 10))
    [ $base -lt 32000 ] || die "no free ports from ${KAFKA_PORT:-19092} to 32000"
  done
  rm -rf "$dir"
  mkdir -p "$dir"
  save
  for id in $(ids); do configure "$id"; done
  # shellcheck disable=SC2046 # the ids are words
  format $(ids)
  # shellcheck disable=SC2046 # the ids are words
  launch $(ids)
  # shellcheck disable=SC2046 # the addresses are words
  if ! ready $(brokers | tr , ' '); then
    stop_all 1
    die "cluster \"$cluster\" did not start"
  fi
  say "Apache Kafka $version, $size broker(s), logs in $dir"
}

stop_all() {
  local id
  # All are asked before the first is waited for: a controller that lost its quorum would not end by itself.
  for id in $(ids); do
    ! pid_of "broker-$id" >/dev/null || { signal "broker-$id" TERM && signal "broker-$id" CONT; } || true
  done
  for id in $(ids); do end "broker-$id" "$1"; done
  end zookeeper "$1"
}

restart() {
  local id
  if [ $# = 0 ]; then
    stop_all 15
    # shellcheck disable=SC2046
    launch $(ids)
    # shellcheck disable=SC2046
    ready $(brokers | tr , ' ')
    return
  fi
  check_id "$1"
  end "broker-$1" 30
  launch "$1"
  local reviver='' code=0
  case $version in 2.*) revive "$1" & reviver=$! ;; esac
  ready "127.0.0.1:$(port_of "$1")" || code=$?
  [ -z "$reviver" ] || kill "$reviver" 2>/dev/null || true
  return "$code"
}

# save keeps what load reads.
save() { printf 'size=%s\nbase=%s\nversion=%s\n' "$size" "$base" "$version" >"$dir/cluster"; }

# add starts a broker that no client was configured with. It is not a controller: those are as many as there were.
add() {
  case $version in 2.*) die "the clusters of this version can't grow" ;; esac
  [ "$size" -ge 3 ] || die "only a cluster of three brokers or more grows: the controllers stay as they are"
  [ "$size" -lt 5 ] || die "a cluster has at most five brokers"
  size=$((size + 1))
  save
  configure "$size"
  format "$size"
  launch "$size"
  ready "127.0.0.1:$(port_of "$size")"
  echo "127.0.0.1:$(port_of "$size")"
}

remove() {
  [ "$size" -gt 3 ] || die "no broker was added"
  end "broker-$size" 30
  rm -rf "$dir/broker-$size" "$dir/broker-$size".*
  size=$((size - 1))
  save
}

# move ID gives a broker another port, for clients alone: controllers are known to each other by their ports.
move() {
  local port
  check_id "${1:-}"
  case $version in 2.*) die "the brokers of this version can't be moved" ;; esac
  while :; do
    port=$((30000 + RANDOM % 2000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  end "broker-$1" 30
  echo "$port" >"$dir/broker-$1.port"
  configure "$1"
  launch "$1"
  ready "127.0.0.1:$port"
  echo "127.0.0.1:$port"
}

# revive ID launches a broker again whenever it ends, until this is killed itself. ZooKeeper remembers a broker that
# died by SIGKILL for the rest of its session, and one that finds itself there already gives up (NodeExists).
revive() {
  while sleep 0.5; do
    case $(ps -o stat= -p "$(cat "$dir/broker-$1.pid")") in '' | Z*) launch "$1" ;; esac
  done
}

status() {
  local id pid state
  for id in $(ids); do
    state=down
    if pid=$(pid_of "broker-$id"); then
      state=running
      case $(ps -o stat= -p "$pid") in T*) state=paused ;; esac
    fi
    printf '%s\t%s\t127.0.0.1:%s\t%s\n' "$id" "$state" "$(port_of "$id")" "${pid:--}"
  done
}

# run [N] -- COMMAND…
run() {
  local count=1 child='' code=0
  if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    count=$1
    shift
  fi
  if [ "${1:-}" != -- ] || [ $# = 1 ]; then die "say what to run: scripts/kafka.sh run [N] -- COMMAND"; fi
  shift
  if [ -n "${EVENTBUS_TEST_BROKERS:-}" ]; then
    say "using the brokers that EVENTBUS_TEST_BROKERS names: $EVENTBUS_TEST_BROKERS"
    exec "$@"
  fi
  cluster=run-$$ dir=$cache/clusters/run-$$
  # Ports at random, below those that the system hands out, so that two runs at once don't meet.
  KAFKA_PORT=${KAFKA_PORT:-$((20000 + RANDOM % 1000 * 10))}
  trap 'cleanup' EXIT
  start "$count"
  # The command gets a process group of its own, and the signals through this script, which then stops the
  # brokers whatever happens. (A plain background job would ignore Ctrl-C; one in the foreground would keep
  # the traps waiting.)
  set -m
  EVENTBUS_TEST_BROKERS=$(brokers) "$@" &
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
  if [ "$code" != 0 ] && [ -n "${KAFKA_KEEP_LOGS:-}" ]; then cp "$dir"/*.log "$KAFKA_KEEP_LOGS"; fi
  exit "$code"
}

cleanup() {
  local id
  trap '' INT TERM HUP
  [ -e "$dir/cluster" ] || return 0
  for id in $(ids); do
    ! pid_of "broker-$id" >/dev/null || signal "broker-$id" KILL || true
  done
  stop_all 5
  rm -rf "$dir"
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
  start)
    start "$@"
    echo "EVENTBUS_TEST_BROKERS=$(brokers)"
    ;;
  stop)
    load
    if [ $# = 0 ]; then stop_all 15; else check_id "$1" && end "broker-$1" 30; fi
    ;;
  kill) load && check_id "${1:-}" && signal "broker-$1" KILL ;;
  pause) load && check_id "${1:-}" && signal "broker-$1" STOP ;;
  resume) load && check_id "${1:-}" && signal "broker-$1" CONT ;;
  fill)
    load && check_id "${1:-}"
    need prlimit "util-linux"
    prlimit --pid "$(pid_of "broker-$1")" --fsize=0:
    ;;
  move) load && move "$@" ;;
  add) load && add ;;
  remove) load && remove ;;
  restart) load && restart "$@" ;;
  status) load && status ;;
  tool)
    [ $# -gt 0 ] || die "name a class, e.g. org.apache.kafka.tools.TopicCommand"
    fetch
    class=$1
    shift
    # It lived in another package before.
    case $class:$version in
      org.apache.kafka.tools.ConfigCommand:[23].* | org.apache.kafka.tools.ConfigCommand:4.[01].*) class=kafka.admin.ConfigCommand ;;
    esac
    run_java WARN 256m "$class" "$@"
    ;;
  run) run "$@" ;;
  fetch)
    fetch
    echo "$libs/*"
    ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
