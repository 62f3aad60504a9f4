#!/usr/bin/env bash
# kubelets.sh stop|start   The kubelets of all nodes. Without them pods that are created on a node are only that: nothing runs, nothing is
# wired, so what is measured is the controller and Neutron alone. KUBE_BIN is the folder that build.sh prints.
. "$(dirname "$(realpath "$0")")/../lib.sh"
for f in openstack/chassis kubernetes/node; do . "$BEDS/$f.sh"; done
only_one
: "${KUBE_BIN:?folder that build.sh prints}"
case ${1:-} in
  stop) for h in "${HOSTS[@]}"; do proc_stop "$h-kubelet"; done;;
  start) for h in "${HOSTS[@]}"; do kubelet_start "$h"; done;;
  *) die "usage: kubelets.sh stop|start";;
esac
