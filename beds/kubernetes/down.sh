#!/usr/bin/env bash
# Ends Kuryr and Kubernetes and removes their state and the pods' ports; OpenStack stays.
. "$(dirname "$(realpath "$0")")/../lib.sh"
for f in openstack/chassis kubernetes/pki kubernetes/node; do . "$BEDS/$f.sh"; done
only_one
"$BEDS/kuryr/down.sh"
for h in "${HOSTS[@]}"; do node_down "$h" & done
wait
step "nodes ended: kubelets, containers, mounts"
for p in kube-controller-manager kube-scheduler kube-apiserver etcd; do proc_stop "$p" 3 & done
wait
rm -rf --one-file-system "$BED"/{pki,etcd,nodes,kubeconfig,*.kubeconfig,pause.tar,busybox.tar,coredns.tar,kuryr}
# Mount points that up made on the machine, and its markers in them.
for d in "${NODE_PATHS[@]}"; do rm -f "$d/.kuryr-bed"; done
if [[ -s $BED/mountpoints ]]; then
  while read -r d; do rmdir --ignore-fail-on-non-empty "$d" 2>/dev/null || true; done <"$BED/mountpoints"
  rm -f "$BED/mountpoints"
fi
# The runtime's cgroups are empty now; nobody else removes them.
for d in /sys/fs/cgroup/*/k8s.io /sys/fs/cgroup/k8s.io; do [[ ! -d $d ]] || find "$d" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
step "control plane ended"
[[ ${OPENSTACK_GOES_TOO:-} ]] || ! proc_alive neutron || {
  for h in "${HOSTS[@]}"; do
    ! proc_alive "$h-vswitchd" || for p in $(ovs "$h" --bare --columns=name find interface 'external_ids:kuryr-container-id!=""'); do
      ovs "$h" --if-exists del-port "$p"
    done
  done
  step "$(/usr/bin/python3 "$BEDS/openstack/forget_pods.py") ports of pods deleted"
}
