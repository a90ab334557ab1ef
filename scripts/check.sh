#!/usr/bin/env bash
# All checks that run no behaviour, in every module named: scripts/check.sh DIR… Runs them all, then fails if any did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=()
check() {
  local name=$1
  shift
  echo "check: $name"
  "$@" || failed+=("$name")
}

in_module() { (cd "$1" && shift && "$@"); }

formatted() {
  local files
  files=$(find . -name .cache -prune -o -name '*.go' -print0 | xargs -0 gofmt -l)
  [ -z "$files" ] || { printf 'not formatted by gofmt:\n%s\n' "$files"; return 1; }
}

# vet_for SYSTEM MODULE vets for another operating system, which compiles the tests too. The fault campaign and the
# benchmarks send signals and measure processes as only Unix knows them.
vet_for() {
  local packages
  cd "$2"
  mapfile -t packages < <(go list ./... | grep -vE '/eventbus/(chaos|bench)(/|$)')
  cd - >/dev/null
  [ ${#packages[@]} = 0 ] || GOOS=$1 in_module "$2" go vet "${packages[@]}"
}

# Vulnerabilities that the code reaches fail the check; a database that can't be reached does not.
vulnerabilities() {
  local output code=0
  output=$(in_module "$1" "$(scripts/tool.sh govulncheck)" ./... 2>&1) || code=$?
  if [ $code = 1 ] && grep -q 'vuln\.go\.dev' <<<"$output"; then
    echo "skipped: the database of vulnerabilities (https://vuln.go.dev) can't be reached from here"
    return 0
  fi
  [ $code = 0 ] || printf '%s\n' "$output"
  return $code
}

scripts=(scripts/*.sh .ci/*)
check "syntax of the scripts" bash -n "${scripts[@]}"
if command -v shellcheck >/dev/null; then
  check "shellcheck" shellcheck --severity=warning "${scripts[@]}"
fi
check "gofmt" formatted
check "import directions, structure and words" go test -count=1 -run '^Test(Imports|Files|Structure|Words)' .
check "a release, and go install from it" scripts/release-test.sh
# A subscription that is not added, or an error that is not returned, compiles and does nothing.
bus=github.com/eventbus-go/eventbus
used=$bus.On,$bus.OnBatch,$bus.OnDelete,$bus.Permanent,$bus.RetryAfter,$bus.Discard,$bus.StoppedAt,$bus.Idempotent,$bus.Upcast
lint=$(scripts/tool.sh golangci-lint)
for module in "$@"; do
  check "go vet in $module" in_module "$module" go vet -tags integration ./...
  check "results that are used in $module" in_module "$module" go vet -tags integration -unusedresult -unusedresult.funcs="$used" ./...
  for system in windows darwin; do
    check "go vet in $module for $system" vet_for "$system" "$module"
  done
  check "golangci-lint in $module" in_module "$module" "$lint" run
  check "go mod tidy in $module" in_module "$module" go mod tidy -diff
  check "govulncheck in $module" vulnerabilities "$module"
done

if [ ${#failed[@]} -gt 0 ]; then
  printf 'check: failed: %s\n' "${failed[@]}"
  exit 1
fi
