#!/usr/bin/env bash
# A real Kubernetes on top of OpenStack: its control plane in the root namespace, a node on every chassis. Safe to run again.
# KUBE_BIN is the folder that build.sh prints. Nodes stay NotReady until a CNI is installed.
. "$(dirname "$(realpath "$0")")/../lib.sh"
for f in openstack/chassis kubernetes/pki kubernetes/control_plane kubernetes/node; do . "$BEDS/$f.sh"; done
only_one
: "${KUBE_BIN:?folder that build.sh prints}"
[[ -s $BED/env ]] || die "Kubernetes stands on the provider network: OpenStack must be up first"
install_packages runc busybox-static openssl procps iproute2
step "executables from $KUBE_BIN"
control_plane_up
step "control plane answers: $BED/kubeconfig"
# The pause container must not end; the other is for pods that ping and answer. The registry name keeps kubelet from pulling.
images=()
for n in pause busybox; do
  images+=("$BED/$n.tar")
  [[ -s $BED/$n.tar ]] || /usr/bin/python3 "$BEDS/kubernetes/image.py" localhost/$n:1 "$BED/$n.tar" /bin/sleep 1000000000
done
jobs=()
for h in "${HOSTS[@]}"; do ( node_up "$h" "${images[@]}"; wait_for 60 "$h-kubelet" kubectl get node "$h"; step "node $h registered" ) & jobs+=($!); done
for j in "${jobs[@]}"; do wait "$j" || die "a node failed"; done
