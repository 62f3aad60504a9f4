# The chassis: each a network namespace bed-NAME with its own Open vSwitch (userspace datapath) and ovn-controller, its run directory
# $BED/chassis/NAME; and bed-fabric, the switches between them. Sourced after ovn.sh.
# shellcheck shell=bash
chassis_index() { local i; for i in "${!HOSTS[@]}"; do [[ ${HOSTS[i]} != "$1" ]] || echo $((i + 1)); done; }
underlay_address() { echo "172.31.250.$((10 + $(chassis_index "$1")))"; }
ovs() { # host ovs-vsctl-arguments...; never without a timeout: it waits for ever on a dead vswitchd
  local host=$1; shift
  ovs-vsctl --db="unix:$BED/chassis/$host/db.sock" --timeout=20 "$@"
}
has_netns() { [[ -e /run/netns/$1 ]]; }
# A veth end whose transmit checksums are computed: the userspace datapath takes packets as they are.
complete_checksums() { ip netns exec "$1" ethtool -K "$2" tx off >/dev/null; }

fabric_up() {
  ! has_netns bed-fabric || return 0
  ip netns add bed-fabric; ip -n bed-fabric link set lo up
  ip -n bed-fabric link add underlay type bridge; ip -n bed-fabric link set underlay up    # tunnels between the chassis
  ip -n bed-fabric link add physnet1 type bridge; ip -n bed-fabric link set physnet1 up    # provider networks, VLAN tags as they are
}
cable() { # host device switch: a veth pair from a chassis to a switch of the fabric
  local host=$1 device=$2 switch=$3
  ! ip -n "bed-$host" link show "$device" >/dev/null 2>&1 || return 0
  ip -n "bed-$host" link add "$device" mtu 1600 type veth peer name "$switch-$host" netns bed-fabric
  ip -n bed-fabric link set "$switch-$host" mtu 1600 master "$switch" up
  complete_checksums "bed-$host" "$device"; complete_checksums bed-fabric "$switch-$host"
  ip -n "bed-$host" link set "$device" up
}
chassis_up() { # host
  local host=$1 dir=$BED/chassis/$1 index address
  index=$(chassis_index "$host"); address=$(underlay_address "$host")
  mkdir -p "$dir"
  has_netns "bed-$host" || { ip netns add "bed-$host"; ip -n "bed-$host" link set lo up; }
  cable "$host" phy0 underlay
  cable "$host" ext0 physnet1
  [[ -e $dir/conf.db ]] || ovsdb-tool create "$dir/conf.db" /usr/share/openvswitch/vswitch.ovsschema
  OVS_RUNDIR=$dir proc_start "$host-ovsdb" ip netns exec "bed-$host" ovsdb-server "$dir/conf.db" --remote="punix:$dir/db.sock" \
    --unixctl="$dir/ovsdb.ctl" -vconsole:warn -vsyslog:off
  wait_for 10 "$host-ovsdb" ovs "$host" --no-wait init
  ovs "$host" --no-wait set Open_vSwitch . \
    external_ids:system-id="bed-$host" external_ids:hostname="$host" external_ids:ovn-remote="$SB" \
    external_ids:ovn-encap-type=geneve external_ids:ovn-encap-ip="$address" \
    external_ids:ovn-bridge=br-int external_ids:ovn-bridge-datapath-type=netdev external_ids:ovn-monitor-all=true \
    external_ids:ovn-bridge-mappings=physnet1:br-ex external_ids:ovn-cms-options=enable-chassis-as-gw \
    external_ids:ovn-openflow-probe-interval=0 external_ids:ovn-remote-probe-interval=60000
  OVS_RUNDIR=$dir proc_start "$host-vswitchd" ip netns exec "bed-$host" ovs-vswitchd "unix:$dir/db.sock" --disable-system \
    --unixctl="$dir/vswitchd.ctl" -vconsole:info -vsyslog:off
  # br-int is OVN's; br-ex is physnet1; br-phy holds the tunnel address, because userspace tunnels leave through an OVS bridge.
  # br-phy's MAC is fixed: the other chassis remember it for 15 minutes, and a chassis that comes back must keep its own.
  ovs "$host" --may-exist add-br br-int \
      -- set bridge br-int datapath_type=netdev fail-mode=secure other-config:disable-in-band=true \
    -- --may-exist add-br br-ex -- set bridge br-ex datapath_type=netdev -- --may-exist add-port br-ex ext0 \
    -- --may-exist add-br br-phy -- set bridge br-phy datapath_type=netdev other-config:hwaddr="$(printf '02:be:d0:00:00:%02x' "$index")" \
    -- --may-exist add-port br-phy phy0
  ip -n "bed-$host" addr replace "$address/24" dev br-phy
  ip -n "bed-$host" link set br-phy mtu 1600 up
  ip -n "bed-$host" link set br-int up
  ip -n "bed-$host" link set br-ex up
  OVS_RUNDIR=$dir OVN_RUNDIR=$dir proc_start "$host-ovn-controller" ip netns exec "bed-$host" ovn-controller "unix:$dir/db.sock" \
    -vconsole:info -vsyslog:off
  # OVS 3.1 aborts in its userspace conntrack (conn_update_state) when a connection is committed with an all-zero SNAT, and OVN 23.03
  # does that to every connection if the datapath claims to support it. vswitchd writes the claim once, when it starts.
  local datapath; datapath=$(ovs "$host" --bare --columns=_uuid list datapath)
  [[ -z $datapath ]] || ovs "$host" set datapath "$datapath" capabilities:ct_zero_snat=false
}
# What a chassis needs once its record is in the southbound database; apart from chassis_up so that chassis start side by side.
chassis_join() { # host
  local host=$1 types
  wait_for 20 "$host-ovn-controller" sbctl get chassis "bed-$host" other_config:iface-types
  # Neutron 21 reads external_ids of a Chassis; OVN 23.03 writes other_config only.
  types=$(sbctl get chassis "bed-$host" other_config:iface-types | tr -d '"')
  sbctl set chassis "bed-$host" external_ids:ovn-bridge-mappings=physnet1:br-ex external_ids:ovn-cms-options=enable-chassis-as-gw \
    external_ids:datapath-type=netdev "external_ids:iface-types=\"$types\""
}
# "Refusing to bind port to dead agent": Neutron takes a new chassis for dead until it has answered one nb_cfg bump.
chassis_sync() { nbctl --wait=hv sync; }

chassis_down() { # host
  local host=$1 dir=$BED/chassis/$1 pid
  # ovn-controller itself takes its record out of the southbound database, if asked.
  if pid=$(proc_pid "$host-ovn-controller"); then
    timeout 5 ovs-appctl -t "$dir/ovn-controller.$pid.ctl" exit >/dev/null 2>&1 || true
  fi
  proc_stop "$host-ovn-controller"; proc_stop "$host-vswitchd"; proc_stop "$host-ovsdb"
  ! has_netns "bed-$host" || ip netns del "bed-$host"
  rm -rf "$dir"
}
