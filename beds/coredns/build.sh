#!/usr/bin/env bash
# Prints the path of coredns: $COREDNS if set, else built once as the Go program of this folder (some minutes on two cores) and kept.
. "$(dirname "$(realpath "$0")")/../lib.sh" >&2
if [[ -n ${COREDNS:-} ]]; then
  [[ -x $COREDNS ]] || die "COREDNS=$COREDNS is no executable: unset COREDNS to have it built"
  realpath "$COREDNS"; exit 0
fi
MODULE=$BEDS/coredns
VERSION=$(awk '{ for (i = 1; i < NF; i++) if ($i == "github.com/coredns/coredns") { sub(/^v/, "", $(i+1)); print $(i+1); exit } }' "$MODULE/go.mod")
OUT=$CACHE/coredns-$VERSION-$(cat "$MODULE"/{main.go,go.mod,go.sum} | sha256sum | cut -c1-12)
if [[ -x $OUT/coredns ]]; then echo "$OUT/coredns"; exit 0; fi
. "$BEDS/go.sh"
GO=$(find_go "$MODULE/go.mod")
step "building CoreDNS $VERSION with $("$GO" env GOVERSION), once" >&2
NEW=$OUT.$$; rm -rf "$OUT".*; mkdir -p "$NEW"; trap 'rm -rf "$NEW"' EXIT
export CGO_ENABLED=0 GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-mod=readonly
( cd "$MODULE"; "$GO" build -trimpath -o "$NEW/coredns" -ldflags "-s -w" . ) >&2
rm -rf "$OUT"; mv "$NEW" "$OUT"; trap - EXIT
echo "$OUT/coredns"
