#!/usr/bin/env bash
# Prints the folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kubectl, etcd, containerd and its shim, ctr,
# cnitool and the reference plugins: $KUBE_BIN if set, else built once (about 9 minutes on two cores) as Go tools of modules/ and kept.
. "$(dirname "$(realpath "$0")")/../lib.sh" >&2
ALL=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl etcd
  containerd containerd-shim-runc-v2 ctr cnitool bridge host-local loopback)
complete() { local p; for p in "${ALL[@]}"; do [[ -x $1/$p ]] || { echo "$p"; return 1; }; done; }

if [[ -n ${KUBE_BIN:-} ]]; then
  missing=$(complete "$KUBE_BIN") || die "KUBE_BIN=$KUBE_BIN has no $missing: unset KUBE_BIN to have everything built"
  realpath "$KUBE_BIN"; exit 0
fi
MODULES=$BEDS/kubernetes/modules
version() { awk -v m="$2" '$1 == m && $2 ~ /^v/ { sub(/^v/, "", $2); print $2; exit }' "$MODULES/$1/go.mod"; }
KUBERNETES=$(version kubernetes k8s.io/kubernetes) CONTAINERD=$(version runtime github.com/containerd/containerd/v2)
RECIPE=1      # raise it when the way of building changes
OUT=$CACHE/kube-$KUBERNETES-$(cat "$MODULES"/*/go.{mod,sum} - <<<"$RECIPE" | sha256sum | cut -c1-12)
if complete "$OUT" >/dev/null; then echo "$OUT"; exit 0; fi

. "$BEDS/go.sh"
GO=$(find_go "$MODULES"/*/go.mod)
step "building Kubernetes $KUBERNETES and containerd $CONTAINERD with $("$GO" env GOVERSION), once" >&2
NEW=$OUT.$$; rm -rf "$OUT".*; mkdir -p "$NEW"; trap 'rm -rf "$NEW"' EXIT
X=k8s.io/component-base/version      # without it the API server calls itself v0.0.0, and clients believe it
export CGO_ENABLED=0 GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-mod=readonly
( cd "$MODULES/runtime"
  "$GO" build -trimpath -o "$NEW/" -tags no_btrfs,no_devmapper,no_zfs \
    -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$CONTAINERD" tool ) >&2
step "containerd, cnitool, reference plugins" >&2
( cd "$MODULES/kubernetes"
  IFS=. read -r major minor _ <<<"$KUBERNETES"
  "$GO" build -trimpath -o "$NEW/" \
    -ldflags "-s -w -X $X.gitVersion=v$KUBERNETES -X $X.gitMajor=$major -X $X.gitMinor=$minor" tool ) >&2
mv "$NEW/server" "$NEW/etcd"
step "Kubernetes, etcd" >&2
rm -rf "$OUT"; mv "$NEW" "$OUT"; trap - EXIT
echo "$OUT"
