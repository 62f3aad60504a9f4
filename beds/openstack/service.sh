#!/usr/bin/env bash
# service.sh stop|start|restart|kill|pause|resume SERVICE   Faults: one of mariadb, keystone, neutron, octavia-api, octavia-agent,
# ovn-nb, ovn-sb, ovn-northd, HOST-ovsdb, HOST-vswitchd, HOST-ovn-controller. pause and resume stop and continue its whole session.
. "$(dirname "$(realpath "$0")")/../lib.sh"
for f in database keystone neutron octavia ovn chassis; do . "$BEDS/openstack/$f.sh"; done
action=${1:-} service=${2:-}
[[ $service ]] || die "usage: service.sh stop|start|restart|kill|pause|resume SERVICE"
signal() { local pid; pid=$(proc_pid "$service") || die "$service is not running"; kill "-$1" -- "-$pid"; }
start() {
  case $service in
    mariadb) database_start;;
    keystone) keystone_start;;
    neutron) neutron_start; neutron_wait;;
    octavia-*) octavia_start; octavia_wait;;
    ovn-*) ovn_start;;
    *-ovsdb|*-vswitchd|*-ovn-controller) chassis_up "${service%%-*}"; chassis_join "${service%%-*}"; chassis_sync;;
    *) die "unknown service $service";;
  esac
}
case $action in
  stop) proc_stop "$service" 15;;
  start) start;;
  restart) proc_stop "$service" 15; start;;
  kill) signal KILL; rm -f "$BED/run/$service.pid";;
  pause) signal STOP;;
  resume) signal CONT;;
  *) die "unknown action $action";;
esac
step "$service: $action done"
