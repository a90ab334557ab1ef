#!/usr/bin/env bash
# Has AsyncAPI's own parser judge the documents of the examples and of the catalogue's hostile test. Documents with
# planted faults have to be refused, so that the check is known to be able to fail.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
cache=$root/.cache/asyncapi
version=3.6.6
protobuf=3.9.0 # the parser's plug-in for .proto text
before=2026-11-01 # what the two need in turn is of this day at the latest, so that every run has the same
pinned="$version $protobuf $before"

say() { printf 'asyncapi: %s\n' "$*" >&2; }
# skip ends without a verdict, where there is nothing to judge with.
skip() { echo "skipped: $*: AsyncAPI's parser judges no document"; exit 0; }

command -v node >/dev/null || skip "node is missing; install Node.js 18 or later"
if [ "$(cat "$cache/installed" 2>/dev/null)" != "$pinned" ]; then
  command -v npm >/dev/null || skip "npm is missing; install it with Node.js"
  say "fetching the parser $version"
  rm -rf "$cache"
  mkdir -p "$cache"
  npm install --prefix "$cache" --silent --ignore-scripts --no-fund --no-audit --before "$before" \
    "@asyncapi/parser@$version" "@asyncapi/protobuf-schema-parser@$protobuf" >&2 || skip "npm can't fetch @asyncapi/parser $version"
  echo "$pinned" >"$cache/installed" # last: an interrupted installation is begun again
fi
documents=$(mktemp -d)
trap 'rm -rf "$documents"' EXIT
(cd "$root" && go test -count=1 -run '^TestAsyncAPI$' ./catalog -documents "$documents" >/dev/null)
(cd "$root/schema" && go test -count=1 -run '^TestAsyncAPI$' ./protosource -documents "$documents" >/dev/null)
cp "$here/asyncapi.mjs" "$cache/validate.mjs"
node "$cache/validate.mjs" "$documents"/*.json
