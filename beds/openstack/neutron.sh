# One neutron-server (ML2/OVN), on port 9696. Sourced.
# shellcheck shell=bash
neutron_configure() {
  local f; for f in neutron.conf ml2_conf.ini api-paste.ini; do render "$BEDS/openstack/conf/$f" "$BED/etc/neutron/$f"; done
  mkdir -p "$BED/neutron/lock"
}
# Run main() of a Neutron module under a name, with our configuration. Every router-interface port in OVN goes up without ever being
# bound; ML2 would then retry 10 × 0.5 s inside its single OVN event thread, and every other port's ACTIVE would wait 5 s behind it.
neutron_command() { # module name arguments...
  local module=$1 name=$2; shift 2
  /usr/bin/python3 -c "$NEUTRON_MAIN" "$module" "$name" \
    --config-file "$BED/etc/neutron/neutron.conf" --config-file "$BED/etc/neutron/ml2_conf.ini" "$@"
}
NEUTRON_MAIN='
import importlib, sys
module, name = sys.argv[1:3]
sys.argv = [name] + sys.argv[3:]
main = importlib.import_module(module).main
if name == "neutron-server":
    import neutron.plugins.ml2.plugin
    neutron.plugins.ml2.plugin.MAX_PROVISIONING_TRIES = 1
sys.exit(main())
'
neutron_start() { # does not wait
  proc_start neutron /usr/bin/python3 -c "$NEUTRON_MAIN" neutron.cmd.eventlet.server neutron-server \
    --config-file "$BED/etc/neutron/neutron.conf" --config-file "$BED/etc/neutron/ml2_conf.ini"
}
neutron_wait() { wait_for 180 neutron http_answers "http://$BED_ADDRESS:9696/v2.0/networks"; }
