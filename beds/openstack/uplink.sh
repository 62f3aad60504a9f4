#!/usr/bin/env bash
# uplink.sh address|up|down   The root namespace (172.24.4.1, the provider network's gateway) and the chassis (172.24.4.201, .202) on the
# provider network, with routes to pods and Services through Neutron's router, which does no SNAT: probes, logs and in-cluster clients work.
# `address` comes first: the services listen on it. `up` connects it.
. "$(dirname "$(realpath "$0")")/../lib.sh"
. "$BEDS/openstack/chassis.sh"
case ${1:-} in
  address)
    if ! ip link show kuryr-bed0 >/dev/null 2>&1; then
      ip link add kuryr-bed0 type veth peer name physnet1-root
      ip link set kuryr-bed0 up
      ethtool -K kuryr-bed0 tx off >/dev/null
    fi
    ip addr replace "$BED_ADDRESS/24" dev kuryr-bed0;;
  up)
    . "$BED/env"
    if ip link show physnet1-root >/dev/null 2>&1; then
      ip link set physnet1-root netns bed-fabric
      ip -n bed-fabric link set physnet1-root master physnet1 up
      complete_checksums bed-fabric physnet1-root
    fi
    for c in "$BED_POD_CIDR" "$BED_SERVICE_CIDR"; do ip route replace "$c" via "$BED_GATEWAY" dev kuryr-bed0; done
    for h in "${HOSTS[@]}"; do
      ip -n "bed-$h" addr replace "172.24.4.$((200 + $(chassis_index "$h")))/24" dev br-ex
      complete_checksums "bed-$h" br-ex
      ip -n "bed-$h" route replace default via "$BED_ADDRESS"
      for c in "$BED_POD_CIDR" "$BED_SERVICE_CIDR"; do ip -n "bed-$h" route replace "$c" via "$BED_GATEWAY" dev br-ex; done
    done;;
  down)
    ! ip link show kuryr-bed0 >/dev/null 2>&1 || ip link del kuryr-bed0;;
  *) die "usage: uplink.sh address|up|down";;
esac
