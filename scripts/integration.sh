#!/usr/bin/env bash
# Runs the tests that look for a real Kafka, in every module: scripts/integration.sh MODULE… [-- FLAG…]
# EVENTBUS_TEST_BROKERS names the cluster; flags go to go test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

modules=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  modules+=("$1")
  shift
done
[ $# = 0 ] || shift

# packages MODULE prints the packages whose tests look for a real Kafka, as the build tag integration,
# EVENTBUS_TEST_BROKERS or kafkatest.Open show. All other tests would only run a second time.
packages() {
  local file dir
  cd "$1"
  { grep -rlE --include='*_test.go' --exclude-dir=.cache --exclude-dir=testdata \
    -e '^//go:build .*\bintegration\b' -e EVENTBUS_TEST_BROKERS -e 'kafkatest\.Open\b' . || true; } |
    while read -r file; do
      dir=$(dirname "$file")
      # A package of a module further down is left to that module.
      until [ "$dir" = . ] || [ -e "$dir/go.mod" ]; do dir=$(dirname "$dir"); done
      [ "$dir" != . ] || dirname "$file"
    done | sort -u
}

failed=()
for module in "${modules[@]}"; do
  mapfile -t found < <(packages "$module")
  [ ${#found[@]} -gt 0 ] || continue
  echo "cd $module && go test -tags integration -count=1 -p 1 $* ${found[*]}"
  (cd "$module" && go test -tags integration -count=1 -p 1 "$@" "${found[@]}") || failed+=("$module")
done
[ ${#failed[@]} = 0 ] || { echo "tests failed in: ${failed[*]}"; exit 1; }
