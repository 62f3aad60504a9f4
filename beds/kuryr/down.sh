#!/usr/bin/env bash
# Ends the controller and the daemons, and takes the network configuration from the nodes. Pods, ports and custom resources stay.
. "$(dirname "$(realpath "$0")")/../lib.sh"
only_one
for h in "${HOSTS[@]}"; do rm -f "$BED/nodes/$h/etc/cni/net.d/10-kuryr.conflist"; done
proc_stop kuryr-controller 10 &
for h in "${HOSTS[@]}"; do proc_stop "$h-daemon" 10 & done
wait
step "Kuryr ended"
