#!/usr/bin/env bash
# Runs a command with a Docker daemon and an image of Kafka: scripts/containers.sh COMMAND…
#
# The daemon is the one that answers, or else one that is started for the command, where that is possible (root,
# and dockerd installed). The image is what EVENTBUS_TEST_IMAGE names, or the usual one if it is there or can be
# pulled, or else one that is built from this machine's Java and Apache Kafka's jars. Without a daemon the command
# runs all the same: its tests say that they are skipped, and why.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(dirname "$here")/.cache/docker
usual=confluentinc/confluent-local:7.5.0
standin=eventbus-kafka:${KAFKA_VERSION:-4.4.0}

say() { printf 'containers: %s\n' "$*" >&2; }

daemon=
end() { [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null; } || true; }
trap end EXIT

start_daemon() {
  command -v dockerd >/dev/null && [ "$(id -u)" = 0 ] || return 1
  mkdir -p "$dir"
  # A path for the socket that is short enough, whatever directory this is in.
  local socket
  socket=$(mktemp -d)/docker.sock
  export DOCKER_HOST=unix://$socket
  dockerd --data-root "$dir/data" --exec-root "$(dirname "$socket")/exec" --pidfile "$(dirname "$socket")/pid" --host "$DOCKER_HOST" \
    >"$dir/dockerd.log" 2>&1 &
  daemon=$!
  for _ in $(seq 150); do
    # Containers that were to be reused have ended with the daemon before.
    docker info >/dev/null 2>&1 && docker container prune --force >/dev/null && return
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.2
  done
  say "dockerd does not start; the end of $dir/dockerd.log:"
  tail -n 5 "$dir/dockerd.log" >&2
  return 1
}

if docker info >/dev/null 2>&1 || start_daemon; then
  if [ -z "${EVENTBUS_TEST_IMAGE:-}" ]; then
    if docker image inspect "$usual" >/dev/null 2>&1 || timeout 120 docker pull --quiet "$usual" >/dev/null 2>&1; then
      export EVENTBUS_TEST_IMAGE=$usual
    else
      say "$usual can't be pulled: building $standin"
      "$here/kafka-image.sh" "$standin"
      # Nor can the image of the container that removes what a killed test leaves behind.
      export EVENTBUS_TEST_IMAGE=$standin TESTCONTAINERS_RYUK_DISABLED=true
    fi
  fi
  say "using $EVENTBUS_TEST_IMAGE"
else
  say "there is no Docker daemon, and none can be started: tests that need one are skipped"
fi
"$@"
