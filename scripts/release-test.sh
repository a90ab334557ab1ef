#!/usr/bin/env bash
# Releases a copy of this tree and installs the tool from the module proxy that comes of it, as a user would:
# scripts/release-test.sh. What the release was made of is remembered in .cache: unchanged, it is not tested again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=v0.999.0-test.1
root=$(go list -m)
passed=.cache/release-test

die() { printf 'release-test: %s\n' "$*" >&2; exit 1; }

# Everything that decides whether the modules fit together: their requirements, the script, the tool.
inputs() { git ls-files --cached --others --exclude-standard -- '*go.mod' '*go.sum' 'scripts/release*' cmd/eventbus; }
key=$(inputs | sort | while read -r file; do [ ! -e "$file" ] || sha256sum "$file"; done | cat - <(go version) | sha256sum)
if [ "$(cat "$passed" 2>/dev/null)" = "$key" ]; then
  echo "nothing that a release is made of has changed since it last passed"
  exit
fi

scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT
copy=$scratch/copy
mkdir "$copy"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar --null --files-from - --create | tar --extract --directory "$copy"
inside() { git -C "$copy" -c user.name=test -c user.email=test@localhost "$@"; }
inside init --quiet
inside config user.name test
inside config user.email test@localhost
inside add --all
inside commit --quiet --message copy

release() { "$copy/scripts/release.sh" "$version" "$@"; }
refused() {
  local wanted=$1 output
  shift
  if output=$(release "$@" 2>&1); then die "released, though $wanted"; fi
  grep -qF "$wanted" <<<"$output" || die "refused with \"$output\", not because $wanted"
}
refused "CHANGELOG.md has no section" --tag
printf '\n## [%s]\n' "${version#v}" >>"$copy/CHANGELOG.md"
refused "the tree has changes" --tag
inside commit --quiet --all --message changelog

release >/dev/null 2>"$scratch/errors" || die "the rehearsal fails: $(cat "$scratch/errors")"
[ -z "$(inside tag)" ] || die "the rehearsal left tags"
release --tag --proxy "$scratch/proxy" >"$scratch/tags" 2>"$scratch/errors" || die "$(cat "$scratch/errors")"
[ "$(inside tag | sort)" = "$(sort "$scratch/tags")" ] || die "the tags are not those that were listed"
[ "$(wc -l <"$scratch/tags")" = "$(cd "$copy" && git ls-files '*go.mod' | grep -vc testdata)" ] || die "a module has no tag"
refused "$version has been tagged already" --tag

# The modules of others come from this machine's module cache where it has them, and were verified when they came there.
# A cache of its own, or ours at a version that was never published would stay in the real one.
export GOMODCACHE=$scratch/modules GOBIN=$scratch/bin GOSUMDB=off GOFLAGS='-mod=mod -modcacherw -trimpath' GOWORK=off
GOPROXY="file://$scratch/proxy,file://$(GOMODCACHE='' go env GOMODCACHE)/cache/download,$(go env GOPROXY)"
export GOPROXY
(cd "$scratch" && go install "$root/cmd/eventbus@$version") 2>"$scratch/errors" || die "go install: $(cat "$scratch/errors")"
[ "$("$GOBIN/eventbus" --version)" = "eventbus $version" ] || die "eventbus --version says $("$GOBIN/eventbus" --version)"
"$GOBIN/eventbus" topics --help >/dev/null || die "the installed tool does not run"

# At the release every module builds by its own go.mod and go.sum alone.
inside checkout --quiet "$version"
while read -r module; do
  (cd "$copy/$module" && go list -mod=readonly -deps ./... >/dev/null) 2>"$scratch/errors" ||
    die "$module at $version is incomplete: $(cat "$scratch/errors")"
done < <(cd "$copy" && git ls-files '*go.mod' | grep -v testdata | xargs -n1 dirname)

mkdir -p "$(dirname "$passed")"
echo "$key" >"$passed"
echo "released $(wc -l <"$scratch/tags") modules and installed the tool from their proxy"
