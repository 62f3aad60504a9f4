#!/usr/bin/env bash
# Prints the path of helm: $HELM if set, else built once as the Go tool of this folder (some minutes on two cores) and kept. It is apart
# from the bed's executables, which nobody should have to build again because Helm has a new version.
. "$(dirname "$(realpath "$0")")/../lib.sh" >&2
. "$BEDS/go.sh"
MODULE=$BEDS/helm
VERSION=$(awk '$1 == "helm.sh/helm/v4" { sub(/^v/, "", $2); print $2; exit }' "$MODULE/go.mod")
RECIPE=1      # raise it when the way of building changes
build_it() {
  "$GO" build -trimpath -o "$NEW/" -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$VERSION" tool
}
built_once helm Helm "$VERSION" HELM "$(cat "$MODULE"/go.{mod,sum} - <<<"$RECIPE")"
