#!/usr/bin/env bash
# Prints the path of a tool at the version that this project pins, built into .cache/bin unless it is there:
#   scripts/tool.sh golangci-lint | govulncheck
set -euo pipefail

bin=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.cache/bin

case ${1:-} in
  golangci-lint) package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint version=v2.15.0 ;;
  govulncheck) package=golang.org/x/vuln/cmd/govulncheck version=v1.9.0 ;;
  *)
    echo "usage: scripts/tool.sh golangci-lint | govulncheck" >&2
    exit 2
    ;;
esac

# The tool's own build information tells its version, whatever its --version flag looks like.
pinned() { [ -x "$1" ] && go version -m "$1" 2>/dev/null | grep -qE "^[[:space:]]mod[[:space:]].*[[:space:]]$version([[:space:]]|$)"; }

for candidate in "$bin/$1" "$(go env GOPATH)/bin/$1" "$(command -v "$1" || true)"; do
  if pinned "$candidate"; then
    echo "$candidate"
    exit
  fi
done
echo "building $1 $version" >&2
GOBIN=$bin GOFLAGS='' go install "$package@$version" >&2
echo "$bin/$1"
