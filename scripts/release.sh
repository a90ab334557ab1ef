#!/usr/bin/env bash
# Releases every module of this repository under one version.
#
#   scripts/release.sh VERSION [--tag] [--proxy DIR]
#
# On main each module replaces the others by the checkout. A released module may not: go install refuses a module
# with replace directives, and go get ignores them. Therefore a release is a commit beside main, whose parent is HEAD,
# in which every module requires the others at VERSION, with their checksums in go.sum. Each module gets a tag there,
# such as v0.1.0, examples/v0.1.0 and cmd/eventbus/v0.1.0.
#
# Without --tag the release is only rehearsed, in a clone that is deleted afterwards, and the tags are listed. With --tag
# they are put into this repository; pushing them is left to you. --proxy DIR leaves the modules in DIR as a module proxy
# serves them, for GOPROXY=file://DIR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD

die() { printf 'release: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$repository/scripts/release.sh" >&2; exit 2; }

version='' tag='' proxy=''
while [ $# -gt 0 ]; do
  case $1 in
    --tag) tag=yes ;;
    --proxy) [ $# -gt 1 ] || usage; proxy=$2; shift ;;
    -*) usage ;;
    *) [ -z "$version" ] || usage; version=$1 ;;
  esac
  shift
done
[ -n "$version" ] || usage
[[ $version =~ ^v[01]\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]] ||
  die "$version is not a semantic version of major version 0 or 1; write it as v0.1.0"
[ -z "$(git status --porcelain)" ] || die "the tree has changes; commit or stash them first"
grep -q "^## \[${version#v}\]" CHANGELOG.md || die "CHANGELOG.md has no section \"## [${version#v}]\"; rename [Unreleased]"
[ -z "$(git tag --list "$version" "*/$version")" ] || die "$version has been tagged already: a published version never changes"

root=$(go list -m)
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch" && rm -rf "$scratch"' EXIT
git clone --quiet --no-hardlinks --no-tags "$repository" "$scratch/clone"
cd "$scratch/clone"
git checkout --quiet --detach "$(git -C "$repository" rev-parse HEAD)"
git config user.name "$(git -C "$repository" config user.name)"
git config user.email "$(git -C "$repository" config user.email)"

# path DIR prints the module path of a directory, tag_of DIR the name of its tag.
path() { if [ "$1" = . ]; then echo "$root"; else echo "$root/$1"; fi; }
tag_of() { if [ "$1" = . ]; then echo "$version"; else echo "$1/$version"; fi; }

# required DIR prints the directories of the modules of this repository that the module there requires.
required() {
  (cd "$1" && go mod edit -json) | grep -oE "\"Path\": \"$root(/[^\"]*)?\"" | cut -d'"' -f4 | sort -u |
    while read -r module; do
      module=${module#"$root"}
      module=${module#/}
      [ "${module:-.}" = "$1" ] || echo "${module:-.}"
    done
}

# Modules in an order in which each comes after those that it requires.
in_order() {
  find . -name testdata -prune -o -name go.mod -print | sed 's|^\./||' | while read -r file; do
    local dir
    dir=$(dirname "$file")
    echo "$dir $dir"
    required "$dir" | sed "s|\$| $dir|"
  done | tsort
}

# published DIR has Go read the module at its tag in the clone, exactly as a proxy would read it from the published
# repository, and prints its two lines of go.sum.
published() {
  (cd "$scratch" && GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$scratch/clone.insteadOf" \
    GIT_CONFIG_VALUE_0="https://$root" GOMODCACHE=$scratch/cache GOPRIVATE=$root GOPROXY=direct GOFLAGS='' GOWORK=off \
    go mod download -json "$(path "$1")@$version") >"$scratch/download.json" || die "$(cat "$scratch/download.json")"
  local sums
  sums=$(grep -oE '"(Sum|GoModSum)": "[^"]*"' "$scratch/download.json")
  sed -n -e "s|^\"Sum\": \"\(.*\)\"|$(path "$1") $version \1|p" -e "s|^\"GoModSum\": \"\(.*\)\"|$(path "$1") $version/go.mod \1|p" <<<"$sums"
}

mapfile -t modules < <(in_order)
: >"$scratch/sums"
for dir in "${modules[@]}"; do
  mapfile -t needed < <(required "$dir")
  if [ ${#needed[@]} -gt 0 ]; then
    edits=()
    for other in "${needed[@]}"; do
      edits+=("-dropreplace=$(path "$other")" "-require=$(path "$other")@$version")
      grep -F "$(path "$other") $version" "$scratch/sums" >>"$dir/go.sum"
    done
    (cd "$dir" && go mod edit "${edits[@]}")
    LC_ALL=C sort -u -o "$dir/go.sum" "$dir/go.sum"
    git commit --quiet -m "$dir $version" -- "$dir/go.mod" "$dir/go.sum"
  fi
  if grep -n '^replace\|^	.* => ' "$dir/go.mod"; then die "$dir/go.mod still has the replace directives above"; fi
  git tag "$(tag_of "$dir")"
  published "$dir" >>"$scratch/sums"
done

# One commit for all tags: the files of a module are the same in it as where the module was read.
commit=$(git commit-tree "HEAD^{tree}" -p "$(git -C "$repository" rev-parse HEAD)" -m "Release $version")
tags=() refs=()
for dir in "${modules[@]}"; do
  tags+=("$(tag_of "$dir")")
  refs+=("refs/tags/$(tag_of "$dir"):refs/tags/$(tag_of "$dir")")
  git tag --force --annotate --message "$(path "$dir") $version" "$(tag_of "$dir")" "$commit" >/dev/null
done

if [ -n "$proxy" ]; then
  mkdir -p "$proxy"
  cp -R "$scratch/cache/cache/download/." "$proxy/"
fi
if [ -n "$tag" ]; then
  git -C "$repository" fetch --quiet --no-tags "$scratch/clone" "${refs[@]}"
  printf '%s\n' "${tags[@]}"
  echo "release: tagged $commit; to publish: git push origin ${tags[*]}" >&2
else
  printf '%s\n' "${tags[@]}"
  echo "release: a rehearsal; with --tag these tags are put into this repository" >&2
fi
