#!/usr/bin/env bash
# Runs every fuzz test of every module for a while, one after the other: scripts/fuzz.sh TIME (for example 30s or 10m)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

grep -roE --include='*_test.go' --exclude-dir=.cache '^func Fuzz[A-Za-z0-9_]*' . | sort |
  while IFS=: read -r file function; do
    name=${function#func }
    echo "fuzz: $name in $(dirname "$file"), ${1:-30s}"
    (cd "$(dirname "$file")" && go test -run '^$' -fuzz "^$name\$" -fuzztime "${1:-30s}" . </dev/null)
  done
