//! Options of the daemon: the plugin's requests, and the node's wiring.

use super::super::kinds::{COUNT, Kind, PORT, WHOLE};
use super::Reader::{Both, Controller, Daemon};
use super::Rule::{Honoured, Ignored, Later};
use super::{Definition, Group, Rule, options};

const OS_VIF: Rule = Ignored("it belongs to os-vif; the daemon wires by itself");
const MEMORY: Rule = Ignored("set resources.limits.memory of the container; the kernel then does it");

options! {
cni_daemon "cni_daemon" "The daemon's answers to the plugin." {
    bind_address = "127.0.0.1:5036": Kind::Text, Daemon, Honoured, "ADDRESS:PORT where the plugin of kuryr-kubernetes is answered over HTTP. Served only if it is set, because any process that can connect can wire and unwire pods; kuryr-cni uses [kuryr] daemon_socket";
    worker_num = "30": COUNT, Daemon, Ignored("requests are tasks of one process; there is no limit to run into"), "Worker processes";
    vif_annotation_timeout = "60": Kind::Whole(1, 86400), Daemon, Honoured, "Seconds ADD waits for a pod's KuryrPort, and then as long again until its ports are active";
    pyroute2_timeout = "10": COUNT, Daemon, Ignored("netlink answers at once or fails"), "Netlink timeout";
    docker_mode = "false": Kind::Flag, Daemon, Honoured, "Look for network namespaces in netns_proc_dir instead of /proc";
    netns_proc_dir: Kind::Text, Daemon, Honoured, "Where the host's /proc is mounted; used with docker_mode";
    cni_failures_count = "3": COUNT, Daemon, Ignored("a pod that cannot be wired is no reason to restart the daemon"), "Failed requests until the daemon reports itself dead";
}

cni_health_server "cni_health_server" "Health of the daemon: /ready and /alive." {
    port = "8090": PORT, Daemon, Honoured, "TCP port; 0 turns it off";
    max_memory_usage = "-1": WHOLE, Daemon, MEMORY, "MiB of memory above which the daemon reports itself dead";
    cg_path = "/sys/fs/cgroup/memory/system.slice/kuryr-cni.service": Kind::Text, Daemon, MEMORY, "Cgroup whose memory is watched";
}

binding "binding" "Interfaces of virtual machines that carry nested pods." {
    default_driver = "kuryr.lib.binding.drivers.veth": Kind::Text, Controller, Ignored("it names a Python module; nothing depends on it any more"), "Binding driver of kuryr-lib", old "driver";
    link_iface = "": Kind::Text, Daemon, Later("pods inside virtual machines"), "Interface of the virtual machine that carries pods";
    enabled_drivers: Kind::List, Daemon, Ignored("no version ever read it"), "Binding drivers of kuryr-lib";
    veth_dst_prefix = "eth": Kind::Text, Daemon, Ignored("no version ever read it"), "Names of interfaces";
}

os_vif_ovs "os_vif_ovs" "Open vSwitch, as os-vif called it." {
    ovsdb_connection = "unix:/run/openvswitch/db.sock": Kind::Text, Daemon, Honoured, "Where the Open vSwitch database listens: unix:PATH or tcp:ADDRESS:PORT (os-vif: tcp:127.0.0.1:6640; a socket needs no open port)";
    ovs_vsctl_timeout = "120": COUNT, Daemon, Ignored("ovs-vsctl is not called; see [kuryr] ovs_deadline"), "Seconds ovs-vsctl may take";
    ovsdb_interface = "native": Kind::Text, Daemon, OS_VIF, "How the database is reached";
    network_device_mtu = "1500": COUNT, Daemon, Ignored("see [neutron_defaults] network_device_mtu"), "MTU of interfaces";
    isolate_vif = "false": Kind::Flag, Daemon, OS_VIF, "Keep ports on a dead VLAN at first";
    per_port_bridge = "false": Kind::Flag, Daemon, OS_VIF, "A bridge for every port";
    default_qos_type = "linux-noop": Kind::Text, Daemon, OS_VIF, "Queueing of ports";
}

vhostuser "vhostuser" "Interfaces shared with pods as vhost-user sockets." {
    mount_point = "/var/cni/vhostuser": Kind::Text, Both, Later("vhost-user interfaces"), "Folder shared with pods";
    ovs_vhu_path = "/var/run/openvswitch/": Kind::Text, Daemon, Later("vhost-user interfaces"), "Where Open vSwitch makes its sockets";
}

nested_dpdk "nested_dpdk" "Interfaces of virtual machines given to DPDK." {
    dpdk_driver = "uio_pci_generic": Kind::Text, Daemon, Later("DPDK in virtual machines"), "Kernel driver the interface is given to";
    pci_mount_point = "/var/pci_address": Kind::Text, Daemon, Later("DPDK in virtual machines"), "Folder where pods find the PCI address";
}
}
