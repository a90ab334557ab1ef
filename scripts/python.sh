#!/usr/bin/env bash
# Python with the modules of requirements.txt, in an environment of its own under .cache:
#   scripts/python.sh PROGRAM [ARG…]   runs a program; without arguments it only prepares the environment
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$(dirname "$here")/.cache/python

if ! cmp -s "$here/requirements.txt" "$venv/installed"; then
  command -v python3 >/dev/null || { echo "python: python3 is missing; install Python 3.10 or later" >&2; exit 1; }
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  # Copied last: an interrupted installation is begun again.
  cp "$here/requirements.txt" "$venv/installed"
fi
[ $# = 0 ] || exec "$venv/bin/python" "$@"
