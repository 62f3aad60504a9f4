#!/usr/bin/env bash
# Kuryr in the bed, from the executables `kuryr` and `kuryr-cni` in KURYR_BIN: the CRDs, a controller beside the API server, on every node a
# daemon and the plugin. Safe to run again; a process whose executable or configuration changed is replaced.
. "$(dirname "$(realpath "$0")")/../lib.sh"
for f in openstack/chassis kubernetes/pki kubernetes/control_plane kubernetes/node kuryr/processes; do . "$BEDS/$f.sh"; done
only_one
: "${KURYR_BIN:?folder with kuryr and kuryr-cni}" "${KUBE_BIN:?folder that kubernetes/build.sh prints}"
. "$BED/env"

replace() { # source destination: whole or not at all; succeeds if it changed
  ! cmp -s "$1" "$2" || return 1
  mkdir -p "$(dirname "$2")"; cp -p "$1" "$2.new"; mv "$2.new" "$2"
}
configuration() { # identity destination: succeeds if it changed
  render "$BEDS/kuryr/kuryr.conf" "$2.next"
  sed -i "s|@IDENTITY@|$1|g; s|@PROJECT@|$BED_PROJECT|; s|@POD_SUBNET@|$BED_POD_SUBNET|; s|@SECURITY_GROUP@|$BED_SECURITY_GROUP|
    s|@SERVICE_SUBNET@|$BED_SERVICE_SUBNET|; s|@EXTERNAL_NETWORK@|$BED_EXTERNAL_NETWORK|; s|@EXTERNAL_SUBNET@|$BED_EXTERNAL_SUBNET|" "$2.next"
  local changed=1
  ! replace "$2.next" "$2" || changed=0
  rm -f "$2.next"; return $changed
}
changed=; ! replace "$KURYR_BIN/kuryr" "$KURYR/kuryr" || changed=1
"$KURYR/kuryr" crds >"$BED/kuryr/crds.yaml"
kubectl apply -f "$BED/kuryr/crds.yaml" >/dev/null
kubectl wait --for=condition=Established --timeout=30s --request-timeout=35s -f "$BED/kuryr/crds.yaml" >/dev/null
step "custom resource definitions"

certificate kuryr-controller /O=system:masters/CN=kuryr-controller
if configuration kuryr-controller "$BED/kuryr/controller.conf" || [[ $changed ]]; then proc_stop kuryr-controller; fi
controller_start
for h in "${HOSTS[@]}"; do
  certificate "kuryr-daemon-$h" "/O=system:masters/CN=kuryr-daemon-$h"
  if configuration "kuryr-daemon-$h" "$BED/nodes/$h/etc/kuryr/kuryr.conf" || [[ $changed ]]; then proc_stop "$h-daemon"; fi
  daemon_start "$h"
done
wait_for 30 kuryr-controller controller_ready; step "controller ready"
for h in "${HOSTS[@]}"; do
  wait_for 30 "$h-daemon" daemon_ready "$h"
  # The network configuration last: from then on the runtime calls the plugin.
  replace "$KURYR_BIN/kuryr-cni" "$BED/nodes/$h/opt/cni/bin/kuryr-cni" || true
  replace "$BEDS/kuryr/10-kuryr.conflist" "$BED/nodes/$h/etc/cni/net.d/10-kuryr.conflist" || true
  step "daemon and plugin on $h"
done
for h in "${HOSTS[@]}"; do
  kubectl wait --for=condition=Ready --timeout=60s --request-timeout=65s "node/$h" >/dev/null || die "node $h did not become Ready"
done
step "nodes Ready"
