#!/usr/bin/env bash
# Conformance, interoperability and a short fault campaign on each Apache Kafka that is supported, oldest first:
# scripts/matrix.sh [VERSION…]. One line per version at the end; exit code 1 if any failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

[ $# -gt 0 ] || set -- 2.8.2 3.9.1 4.0.0 4.1.0 4.4.0
unset EVENTBUS_TEST_BROKERS
logs=.cache/matrix
mkdir -p "$logs"
failed=0
lines=()

# stage NAME COMMAND… keeps what the command prints and tells how it went.
stage() {
  local name=$1
  shift
  echo "matrix: Apache Kafka $KAFKA_VERSION, $name (log in $logs/$KAFKA_VERSION-$name.log)"
  if "$@" </dev/null >"$logs/$KAFKA_VERSION-$name.log" 2>&1; then line+=" $name ok,"; else
    line+=" $name FAILED,"
    failed=1
    tail -n 20 "$logs/$KAFKA_VERSION-$name.log"
  fi
}

for version; do
  export KAFKA_VERSION=$version
  line="Apache Kafka $version:"
  stage conformance make test-kafka
  stage chaos make chaos QUICK=1
  lines+=("${line%,}")
done
printf '%s\n' "${lines[@]}"
exit "$failed"
