//! Options of the processes themselves: logs, health, metrics, and what Kuryr added to kuryr-kubernetes' options.

use super::super::kinds::{COUNT, Kind, PORT};
use super::Reader::{Both, Controller, Daemon};
use super::Rule::{Honoured, Ignored, Later};
use super::{Definition, Group, Rule, options};

const FORMAT: Rule = Ignored("log lines have one format, or are JSON with use_json");
const ROTATION: Rule = Ignored("nothing rotates files in a container; use logrotate with copytruncate on a host");
const OSLO: Rule = Ignored("it belongs to a Python library that is no longer there");

options! {
default "DEFAULT" "Logs, and what all programs share." {
    debug = "false": Kind::Flag, Both, Honoured, "Log what is done in detail";
    log_file: Kind::Text, Both, Honoured, "File that logs are appended to, instead of standard error", old "logfile";
    log_dir: Kind::Text, Both, Honoured, "Folder of a relative log_file; alone it means the file PROGRAM.log there", old "logdir";
    use_stderr = "false": Kind::Flag, Both, Honoured, "Log to standard error too when there is a log file; without one that is where logs go anyway";
    use_json = "false": Kind::Flag, Both, Honoured, "Log one JSON object per line";
    log_color = "false": Kind::Flag, Both, Honoured, "Colours on standard error; a terminal gets them anyway";
    use_syslog = "false": Kind::Flag, Both, Later("logging to syslog"), "Log to syslog";
    syslog_log_facility = "LOG_USER": Kind::Text, Both, Later("logging to syslog"), "Syslog facility";
    use_journal = "false": Kind::Flag, Both, Later("journald's own protocol (systemd keeps standard error in the journal by itself)"), "Log to journald";
    default_log_levels: Kind::List, Both, Ignored("its logger names are Python's; use [kuryr] log_levels"), "Level per Python logger";
    log_config_append: Kind::Text, Both, Ignored("it names a Python logging configuration; use [kuryr] log_levels"), "Python logging configuration", old "log_config";
    log_date_format = "%Y-%m-%d %H:%M:%S": Kind::Text, Both, FORMAT, "Format of dates in logs";
    log_rotation_type = "none": Kind::Text, Both, ROTATION, "Log rotation";
    log_rotate_interval = "1": COUNT, Both, ROTATION, "Log rotation";
    log_rotate_interval_type = "days": Kind::Text, Both, ROTATION, "Log rotation";
    max_logfile_count = "30": COUNT, Both, ROTATION, "Log rotation";
    max_logfile_size_mb = "200": COUNT, Both, ROTATION, "Log rotation";
    watch_log_file = "false": Kind::Flag, Both, ROTATION, "Log rotation";
    logging_context_format_string: Kind::Text, Both, FORMAT, "Format of log lines";
    logging_default_format_string: Kind::Text, Both, FORMAT, "Format of log lines";
    logging_debug_format_suffix: Kind::Text, Both, FORMAT, "Format of log lines";
    logging_exception_prefix: Kind::Text, Both, FORMAT, "Format of log lines";
    logging_user_identity_format: Kind::Text, Both, FORMAT, "Format of log lines";
    instance_format: Kind::Text, Both, FORMAT, "Format of log lines";
    instance_uuid_format: Kind::Text, Both, FORMAT, "Format of log lines";
    publish_errors = "false": Kind::Flag, Both, OSLO, "Send errors as notifications";
    rate_limit_interval = "0": COUNT, Both, OSLO, "Limit of log lines";
    rate_limit_burst = "0": COUNT, Both, OSLO, "Limit of log lines";
    rate_limit_except_level = "CRITICAL": Kind::Text, Both, OSLO, "Limit of log lines";
    fatal_deprecations = "false": Kind::Flag, Both, OSLO, "Treat deprecations as errors";
    config_source: Kind::List, Both, Ignored("settings come from files and from OS_GROUP__OPTION variables"), "More drivers of oslo.config";
    backdoor_port: Kind::Text, Controller, OSLO, "Debugging port of oslo.service";
    backdoor_socket: Kind::Text, Controller, OSLO, "Debugging socket of oslo.service";
    log_options = "true": Kind::Flag, Controller, OSLO, "Log all options at start";
    graceful_shutdown_timeout = "60": COUNT, Controller, Ignored("work in hand is finished, which takes seconds"), "How long the end may take";
    run_external_periodic_tasks = "true": Kind::Flag, Controller, OSLO, "Run periodic tasks";
    pybasedir: Kind::Text, Both, OSLO, "Where Python code was installed";
    state_path: Kind::Text, Both, OSLO, "Where Python code kept state";
    bindir = "/usr/libexec/kuryr": Kind::Text, Both, Ignored("binding scripts are not used"), "Binding scripts of kuryr-lib";
    subnetpool_name_prefix = "kuryrPool": Kind::Text, Both, Ignored("only kuryr-libnetwork used it"), "Prefix of subnet pools";
    deployment_type = "baremetal": Kind::Text, Both, Ignored("only kuryr-libnetwork used it"), "Kind of deployment";
}

kuryr "kuryr" "What Kuryr adds to the options of kuryr-kubernetes." {
    cluster_name = "kubernetes": Kind::Text, Controller, Honoured, "Name of this Kubernetes cluster in the cloud: everything we create is tagged with it, and only what is tagged with it is ever collected. Clusters that share a project need different names";
    log_levels: Kind::Text, Both, Honoured, "Levels per part of the program, like `kuryr_controller=debug,kuryr_openstack=trace,info`; wins over debug";
    listen_address: Kind::Text, Both, Honoured, "Address that health and metrics are served on; without one all addresses, IPv6 too where the host has it";
    reload_interval = "10": Kind::Whole(0, 3600), Both, Honoured, "Seconds between two looks at the files this program was started with: kuryr.conf, credentials, certificates. When others are there that can be used, a program in a pod ends in good order, at random within three times as long, and is started with them; with what cannot be used it goes on as before and says so. 0 turns it off. The API server's token and certificate authorities are read again without a restart";
    services = "false": Kind::Flag, Controller, Honoured, "Balance Services with Octavia: a preview, see services.md. ClusterIP and LoadBalancer, no NodePorts. Needs [neutron_defaults] service_subnet, and for addresses from outside external_svc_net";
    second_service_subnet: Kind::Text, Controller, Honoured, "With services: subnet of Services' second addresses, by id, for dual-stack; of the other family than [neutron_defaults] service_subnet and in the same network";
    api_server_service = "false": Kind::Flag, Controller, Honoured, "With services: balance default/kubernetes, too, over the API servers' own addresses. Their subnets must be named in [pod_vif_nested] worker_nodes_subnets";
    ingress = "false": Kind::Flag, Controller, Honoured, "Balance Ingresses and Gateways with Octavia: a preview, see ingress.md. Needs [neutron_defaults] service_subnet, and for addresses from outside external_svc_net; not services";
    ingress_provider: Kind::Text, Controller, Honoured, "Who implements the load balancers of Ingresses and Gateways: amphora, ovn, …; if not said, who implements those of Services. OVN has no layer 7: with it only TCPRoutes and UDPRoutes are served";
    concurrency = "64": Kind::Whole(1, 4096), Controller, Honoured, "How many pods are worked on at once";
    cloud_concurrency = "16": Kind::Whole(1, 1024), Controller, Honoured, "How many requests to one OpenStack service may be under way at once, at most: changes of one kind are fewer while the service answers them no sooner for being sent more";
    activation_interval = "0.25": Kind::Number, Controller, Honoured, "Seconds between two looks at ports and load balancers that are to become active, one call for all of them; up to 5 s where answers are slow";
    drift_interval = "60": Kind::Number, Controller, Honoured, "Seconds between two looks at all our ports, for what was changed or left behind";
    leader_election = "true": Kind::Flag, Controller, Honoured, "Whether controllers decide by a Lease which of them works, whatever their number. Without it there must never be two: not even during an update";
    lease_name = "kuryr-controller": Kind::Text, Controller, Honoured, "Name of the Lease; clusters have one each, so there is seldom a reason to change it";
    lease_namespace: Kind::Text, Controller, Honoured, "Namespace of the Lease; without it POD_NAMESPACE, then kube-system";
    lease_duration = "10": Kind::Whole(5, 300), Controller, Honoured, "Seconds after which a Lease that is not renewed passes to another controller. Its holder renews it after 15 % of that, and stops working when 70 % went by without";
    daemon_socket = "/run/kuryr/cni.sock": Kind::Text, Daemon, Honoured, "Unix socket where kuryr-cni finds the daemon; kuryr-cni's own setting is `daemon_socket` in the CNI configuration";
    state_dir = "/var/lib/kuryr/attachments": Kind::Text, Daemon, Honoured, "Folder of the node where the daemon remembers what it wired, one small file per container";
    node_name: Kind::Text, Daemon, Honoured, "Name of this node in Kubernetes; without it KUBERNETES_NODE_NAME, then the host's name";
    ovs_deadline = "10": Kind::Number, Daemon, Honoured, "Seconds one operation of Open vSwitch may take";
    install_plugin = "false": Kind::Flag, Daemon, Honoured, "Put kuryr-cni and its CNI configuration on this node and keep them right. Off where nobody asks, so that a process started by hand does not touch its host; the DaemonSet sets it, and so does the old name cni_ds_init";
    plugin_source = "/kuryr-cni": Kind::Text, Daemon, Honoured, "The executable to install; the default is where the image has it";
    cni_bin_dir = "/opt/cni/bin": Kind::Text, Daemon, Honoured, "Folder where the container runtime looks for plugins; in a container the host's folder, mounted";
    cni_conf_dir = "/etc/cni/net.d": Kind::Text, Daemon, Honoured, "Folder where the container runtime looks for configurations; in a container the host's folder, mounted. 10-kuryr.conflist is written there, from kuryr.conflist.template if that file is there";
    withdraw_conflist = "true": Kind::Flag, Daemon, Honoured, "Take 10-kuryr.conflist away while this node cannot serve (Open vSwitch or its bridge is away) for longer than withdraw_grace: the node turns NotReady and gets no new pods. containerd needs a configuration to remove pods, too: until the daemon serves again they stay Terminating. With false the configuration stays, and only CNI STATUS tells (containerd 2, CRI-O)";
    withdraw_grace = "10": Kind::Number, Daemon, Honoured, "Seconds the daemon may be unable to serve before the CNI configuration is taken away";
    remove_conflist_on_shutdown = "false": Kind::Flag, Daemon, Honoured, "Take 10-kuryr.conflist away when the daemon ends, to remove Kuryr from a node. Not for updates: the node would turn NotReady, and containerd could not remove pods meanwhile";
}

health_server "health_server" "Health of the controller: /ready and /alive." {
    port = "8082": PORT, Controller, Honoured, "TCP port; 0 turns it off";
}

prometheus_exporter "prometheus_exporter" "Metrics: /metrics." {
    controller_exporter_port = "9654": PORT, Controller, Honoured, "TCP port of the controller; 0 turns it off";
    cni_exporter_port = "9655": PORT, Daemon, Honoured, "TCP port of the daemon; 0 turns it off";
}
}
