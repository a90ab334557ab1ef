#!/usr/bin/env bash
# A browser for the tests of the console: finds Chromium or installs it, fetches axe-core, which judges accessibility,
# and runs a command with EVENTBUS_BROWSER and EVENTBUS_AXE set. Says what it lacks.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/browser.sh fetch | run -- COMMAND

  fetch             install what is missing: Chromium by apt, axe-core by npm
  run -- COMMAND    COMMAND with EVENTBUS_BROWSER and EVENTBUS_AXE set

Environment:
  EVENTBUS_BROWSER  the browser to use (default: chromium, chromium-browser or google-chrome)
USAGE
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache/browser
axe=4.14.1
say() { printf 'browser: %s\n' "$*" >&2; }

browser() {
  for name in "${EVENTBUS_BROWSER:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name"; then return; fi
  done
  return 1
}

fetch() {
  if ! browser >/dev/null; then
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    command -v apt-get >/dev/null || { say "there is no browser: install Chromium, or name one in EVENTBUS_BROWSER"; exit 1; }
    say "installing chromium"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core >&2
  fi
  if [ "$(cat "$cache/installed" 2>/dev/null)" != "$axe" ]; then
    command -v npm >/dev/null || { say "npm is missing: accessibility is not checked"; return 0; }
    rm -rf "$cache"
    mkdir -p "$cache"
    npm install --prefix "$cache" --silent --ignore-scripts --no-fund --no-audit "axe-core@$axe" >&2
    echo "$axe" >"$cache/installed" # last: an interrupted installation is begun again
  fi
}

case ${1:-} in
fetch) fetch ;;
run)
  shift
  [ "${1:-}" = -- ] && shift
  fetch
  EVENTBUS_BROWSER=$(browser)
  export EVENTBUS_BROWSER
  [ ! -e "$cache/installed" ] || export EVENTBUS_AXE="$cache/node_modules/axe-core/axe.min.js"
  exec "$@"
  ;;
*) usage >&2; exit 2 ;;
esac
