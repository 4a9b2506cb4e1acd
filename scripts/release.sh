#!/bin/sh
# release.sh VERSION: cuts CHANGELOG.md, tags the commit that does so, and builds it twice, in two folders and with nothing
# kept from the first build, to equal bytes. All of it happens in clones; only when it has worked does the repository get
# the commit and the tag. Pushing them is left to you. GO names the go command.
set -eu
cd "$(dirname "$0")/.."
version=${1:-}
unset VERSION MAKEFLAGS MFLAGS # else make below takes VERSION from make release, without its v
fail() { echo "release: $*" >&2; exit 1; }

case $version in
v*) fail "give the version without v: make release VERSION=${version#v}" ;;
[0-9]*.[0-9]*.[0-9]*) ;;
*) fail "give a version like 0.2.0: make release VERSION=0.2.0" ;;
esac
[ -z "$(git status --porcelain)" ] || fail "the tree is not clean: commit or remove what git status shows"
branch=$(git symbolic-ref -q --short HEAD) || fail "no branch is checked out, so the commit would be on none"
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || fail "the tag v$version exists"
! grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md has a section $version already"
awk '/^## /{on = $0 == "## [Unreleased]"} on && /^- /{found = 1} END{exit !found}' CHANGELOG.md ||
	fail "CHANGELOG.md says nothing under [Unreleased]: write what changed"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=$(git config user.name) || fail "git does not know your name: git config user.name"
mail=$(git config user.email) || fail "git does not know your address: git config user.email"
git clone -q --branch "$branch" . "$work/first"
(
	cd "$work/first"
	awk -v cut="## [$version] - $(date -u +%Y-%m-%d)" '{print} $0 == "## [Unreleased]" {print ""; print cut}' CHANGELOG.md >CHANGELOG.new
	mv CHANGELOG.new CHANGELOG.md
	git -c user.name="$name" -c user.email="$mail" commit -q -m "release: $version" CHANGELOG.md
	git -c user.name="$name" -c user.email="$mail" tag -a -m "epitaph $version" "v$version"
)
git clone -q --branch "v$version" "$work/first" "$work/second-folder" 2>/dev/null
make -C "$work/first" build
GOCACHE=${SECOND_GOCACHE:-$work/cache} make -C "$work/second-folder" build
for binary in "$work"/first/bin/*; do
	cmp "$binary" "$work/second-folder/bin/${binary##*/}" || fail "two builds of one commit differ"
	"${GO:-go}" version "$binary" | sed 's,.*/,,'
done
"$work/first/bin/epitaph" --version | grep -q "v$version " || fail "the program does not say that it is v$version"

git pull -q --ff-only --tags "$work/first" "$branch"
mkdir -p bin
cp "$work"/first/bin/* bin/
echo "release: v$version is tagged and in bin/; publish it with: git push --follow-tags"
