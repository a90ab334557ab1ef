#!/usr/bin/env bash
# Has AsyncAPI's own parser judge the documents of the examples and of the catalogue's hostile test. Documents with
# planted faults have to be refused, so that the check is known to be able to fail.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
cache=$root/.cache/asyncapi
version=3.6.6
protobuf=3.9.0 # the parser's plug-in for .proto text

command -v npm >/dev/null || { echo "asyncapi: npm is missing; install Node.js 20 or later" >&2; exit 1; }
if [ "$(cat "$cache/installed" 2>/dev/null)" != "$version $protobuf" ]; then
  rm -rf "$cache"
  mkdir -p "$cache"
  npm install --prefix "$cache" --silent --ignore-scripts --no-fund --no-audit "@asyncapi/parser@$version" "@asyncapi/protobuf-schema-parser@$protobuf" >&2
  echo "$version $protobuf" >"$cache/installed" # last: an interrupted installation is begun again
fi
documents=$(mktemp -d)
trap 'rm -rf "$documents"' EXIT
(cd "$root" && go test -count=1 -run '^TestAsyncAPI$' ./catalog -documents "$documents" >/dev/null)
(cd "$root/schema" && go test -count=1 -run '^TestAsyncAPI$' ./protosource -documents "$documents" >/dev/null)
cp "$here/asyncapi.mjs" "$cache/validate.mjs"
node "$cache/validate.mjs" "$documents"/*.json
