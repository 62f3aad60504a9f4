#!/usr/bin/env bash
# Ends Kubernetes, OpenStack and the chassis and removes all of the bed's state. Nothing is saved, so nobody gets a long goodbye.
. "$(dirname "$(realpath "$0")")/../lib.sh"
. "$BEDS/openstack/ovn.sh"; . "$BEDS/openstack/chassis.sh"
only_one
OPENSTACK_GOES_TOO=1 "$BEDS/kubernetes/down.sh"
"$BEDS/openstack/uplink.sh" down
for h in "${HOSTS[@]}"; do chassis_down "$h" & done
for p in octavia-agent octavia-api neutron keystone; do proc_stop "$p" 3 & done
wait
step "OpenStack services and chassis ended"
for p in ovn-northd ovn-nb ovn-sb mariadb; do proc_stop "$p" 3 & done
wait
! has_netns bed-fabric || ip netns del bed-fabric
proc_sweep
rmdir --ignore-fail-on-non-empty /run/octavia 2>/dev/null || true
rm -rf --one-file-system "$BED"
step "databases ended; namespaces and $BED removed"
