#!/usr/bin/env bash
# Keystone, Neutron (ML2/OVN), Octavia (OVN provider), OVN and the chassis. Safe to run again: what runs stays, what is missing starts.
. "$(dirname "$(realpath "$0")")/../lib.sh"
for f in database keystone neutron octavia ovn chassis migrate credentials; do . "$BEDS/openstack/$f.sh"; done
only_one
install_packages python3-keystone python3-neutron python3-octavia python3-ovn-octavia-provider python3-pymysql python3-requests \
  python3-openstackclient openvswitch-switch ovn-central ovn-host uwsgi-core uwsgi-plugin-python3 \
  mariadb-server-core mariadb-client-core iproute2 ethtool iputils-ping curl
install -d -m 755 "$BED" "$BED/log" "$BED/run"
step "packages present; state in $BED"

"$BEDS/openstack/uplink.sh" address
# The network does not depend on the rest, and starts beside it.
( ovn_start
  fabric_up
  for h in "${HOSTS[@]}"; do chassis_up "$h"; done
  for h in "${HOSTS[@]}"; do chassis_join "$h"; done
  chassis_sync
  step "OVN and chassis ${HOSTS[*]}" ) & network=$!

keystone_configure; neutron_configure; octavia_configure
if database_ready; then database_start; step "database"
elif database_restore; then database_start; step "database from $(database_snapshot_file)"
else migrate; database_start; fi
wait $network || die "OVN or a chassis failed"
keystone_start & keystone=$!
( octavia_start; octavia_wait; step "octavia answers" ) & octavia=$!
neutron_start
wait $keystone || die "keystone failed"; step "keystone answers"
neutron_wait; step "neutron answers"
/usr/bin/python3 "$BEDS/openstack/topology.py" >"$BED/env.new"; mv "$BED/env.new" "$BED/env"
credentials
step "networks, router, security group: $BED/env; users: $BED/clouds.yaml, openrc*"
"$BEDS/openstack/uplink.sh" up
wait $octavia || die "octavia failed"
step "root namespace and nodes reach pods through Neutron's router"
