# The first start on a machine: schemas, Keystone's bootstrap, projects and users, then a snapshot for the next time. Sourced.
# shellcheck shell=bash
logged() { # name command...: quiet unless it fails
  local name=$1; shift
  "$@" >>"$BED/log/$name.log" 2>&1 || { tail -5 "$BED/log/$name.log" >&2; die "$name failed: $BED/log/$name.log"; }
}
migrate() {
  database_create; step "empty database"
  local neutron octavia
  ( logged neutron-migrate neutron_command neutron.db.migration.cli neutron-db-manage upgrade heads ) & neutron=$!
  logged keystone-migrate keystone-manage --config-file "$BED/etc/keystone/keystone.conf" db_sync; step "keystone schema"
  ( logged octavia-migrate octavia-db-manage --config-file "$BED/etc/octavia/octavia.conf" upgrade head ) & octavia=$!
  keystone_bootstrap
  keystone_start
  logged seed /usr/bin/python3 "$BEDS/openstack/seed.py"; step "projects, users, catalogue"
  wait $octavia || die "octavia's schema failed"; step "octavia schema"
  wait $neutron || die "neutron's schema failed"; step "neutron schema"
  database_save; step "database kept in $(database_snapshot_file)"
}
