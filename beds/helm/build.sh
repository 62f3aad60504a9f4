#!/usr/bin/env bash
# Prints the path of helm: $HELM if set, else built once as the Go tool of this folder (some minutes on two cores) and kept. It is apart
# from the bed's executables, which nobody should have to build again because Helm has a new version.
. "$(dirname "$(realpath "$0")")/../lib.sh" >&2
if [[ -n ${HELM:-} ]]; then
  [[ -x $HELM ]] || die "HELM=$HELM is no executable: unset HELM to have it built"
  realpath "$HELM"; exit 0
fi
MODULE=$BEDS/helm
VERSION=$(awk '$1 == "helm.sh/helm/v4" { sub(/^v/, "", $2); print $2; exit }' "$MODULE/go.mod")
RECIPE=1      # raise it when the way of building changes
OUT=$CACHE/helm-$VERSION-$(cat "$MODULE"/go.{mod,sum} - <<<"$RECIPE" | sha256sum | cut -c1-12)
if [[ -x $OUT/helm ]]; then echo "$OUT/helm"; exit 0; fi
. "$BEDS/go.sh"
GO=$(find_go "$MODULE/go.mod")
step "building Helm $VERSION with $("$GO" env GOVERSION), once" >&2
NEW=$OUT.$$; rm -rf "$OUT".*; mkdir -p "$NEW"; trap 'rm -rf "$NEW"' EXIT
export CGO_ENABLED=0 GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-mod=readonly
( cd "$MODULE"
  "$GO" build -trimpath -o "$NEW/" -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$VERSION" tool ) >&2
rm -rf "$OUT"; mv "$NEW" "$OUT"; trap - EXIT
echo "$OUT/helm"
