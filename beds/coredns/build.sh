#!/usr/bin/env bash
# Prints the path of coredns: $COREDNS if set, else built once as the Go program of this folder (some minutes on two cores) and kept.
. "$(dirname "$(realpath "$0")")/../lib.sh" >&2
. "$BEDS/go.sh"
MODULE=$BEDS/coredns
VERSION=$(awk '$1 == "require" && $2 == "github.com/coredns/coredns" { sub(/^v/, "", $3); print $3; exit }' "$MODULE/go.mod")
build_it() { "$GO" build -trimpath -o "$NEW/coredns" -ldflags "-s -w" .; }
built_once coredns CoreDNS "$VERSION" COREDNS "$(cat "$MODULE"/{main.go,go.mod,go.sum})"
