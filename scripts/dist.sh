#!/bin/sh
# dist.sh: what is published of a version, in dist/: programs, packages, their SBOMs and sums. make dist sets GO, TAGS, LDFLAGS and
# VERSION; OUT is another directory, and TARGETS fewer systems. Equal sources make equal files: the time in packages is that of the
# commit (SOURCE_DATE_EPOCH), and SBOMs have none.
set -eu
cd "$(dirname "$0")/.."
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
CYCLONEDX=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
go=${GO:-go}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}"

# Versions of packages begin with a digit. v0.2.0-7-g1234abc, the seventh commit behind v0.2.0, is newer than it, and what has no
# version of its own is older than all that have.
number=$(printf '%s' "$VERSION" | sed 's/^v//; s/-dirty$/+dirty/; s/-\([0-9]*\)-g/+\1.g/; s/[^A-Za-z0-9.+~]/./g')
case $number in
[0-9]*.*) ;;
*) number=0.0.0+$number ;;
esac
time=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

out=${OUT:-dist}
stage=$out/stage
mkdir -p "$out"
rm -rf "$stage" "$out"/epitaph* "$out/SHA256SUMS"
mkdir -p "$stage/completions" "$stage/man" "$stage/man.gz"
# bundle DIR FILE: a tar file of DIR that is the same whoever makes it.
bundle() { tar -C "${1%/*}" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -cf - "${1##*/}" | gzip -9n >"$2"; }

# What does not depend on the machine is made by the program itself, built for this one.
CGO_ENABLED=0 "$go" build -trimpath -buildvcs=false -tags "$TAGS" -ldflags "$LDFLAGS" -o "$stage/own" .
for shell in bash zsh fish; do "$stage/own" completion $shell >"$stage/completions/$shell"; done
"$stage/own" man "$stage/man"
for page in "$stage"/man/*; do gzip -9n <"$page" >"$stage/man.gz/${page##*/}.gz"; done
cat >"$stage/changelog.yaml" <<END
- semver: $number-1
  date: $time
  packager: The epitaph authors <epitaph-mq@users.noreply.github.com>
  deb: {urgency: medium, distributions: [stable]}
  changes:
    - note: "Version $VERSION; what changed is told in CHANGELOG.md of the sources."
END

for target in ${TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}; do
	os=${target%/*}
	arch=${target#*/}
	at=$stage/$os-$arch
	name=epitaph-$number-$os-$arch
	mkdir -p "$at/$name"
	CGO_ENABLED=0 GOOS=$os GOARCH="$arch" "$go" build -trimpath -buildvcs=false -tags "$TAGS" -ldflags "$LDFLAGS" -o "$at/epitaph" .
	# It writes its own sums into the SBOM: without -trimpath they would follow the folders of this machine.
	"$go" run -trimpath "$CYCLONEDX" bin -json -noserial -notimestamp -version "$VERSION" -output "$at/epitaph.cdx.json" "$at/epitaph"
	cp "$at/epitaph.cdx.json" "$out/$name.cdx.json"
	cp -R "$at/epitaph" LICENSE NOTICE THIRD_PARTY_LICENSES "$stage/completions" "$stage/man" "$at/$name"
	bundle "$at/$name" "$out/$name.tar.gz"
	[ "$os" = linux ] || continue
	cp -R "$stage/completions" "$stage/man.gz" "$stage/changelog.yaml" "$at"
	sed "s|\${STAGE}|$at|; s|\${ARCH}|$arch|; s|\${PACKAGE_VERSION}|$number|; s|\${MTIME}|$time|" deploy/package/nfpm.yaml >"$at/nfpm.yaml"
	for format in deb rpm; do "$go" run "$NFPM" package --config "$at/nfpm.yaml" --packager $format --target "$out"; done
done
rm -rf "$stage"
(cd "$out" && sha256sum -- *.tar.gz *.deb *.rpm *.json >SHA256SUMS)
ls -l "$out"
