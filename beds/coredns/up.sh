#!/usr/bin/env bash
# The image of CoreDNS on every node, as localhost/coredns:1. COREDNS is the executable that build.sh prints.
. "$(dirname "$(realpath "$0")")/../lib.sh"
for f in openstack/chassis kubernetes/node; do . "$BEDS/$f.sh"; done
only_one
: "${COREDNS:?executable that build.sh prints}" "${KUBE_BIN:?folder that kubernetes/build.sh prints}"
IMAGE=$BED/coredns.tar
[[ $IMAGE -nt $COREDNS ]] || /usr/bin/python3 "$BEDS/kubernetes/image.py" --program "$COREDNS" localhost/coredns:1 "$IMAGE" /bin/coredns
for h in "${HOSTS[@]}"; do
  in_node "$h" "$KUBE_BIN/ctr" -n k8s.io images import --local "$IMAGE" >/dev/null || die "$h cannot import $IMAGE"
done
step "image of CoreDNS on every node"
