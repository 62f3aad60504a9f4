# Keystone under uwsgi, on port 5000. Sourced.
# shellcheck shell=bash
keystone_configure() { render "$BEDS/openstack/conf/keystone.conf" "$BED/etc/keystone/keystone.conf"; }
keystone_bootstrap() {
  local manage=(keystone-manage --config-file "$BED/etc/keystone/keystone.conf") url="http://$BED_ADDRESS:5000/v3"
  install -d -m 700 "$BED/keystone/fernet-keys" "$BED/keystone/credential-keys"
  logged keystone-bootstrap "${manage[@]}" fernet_setup --keystone-user root --keystone-group root
  logged keystone-bootstrap "${manage[@]}" credential_setup --keystone-user root --keystone-group root
  logged keystone-bootstrap "${manage[@]}" bootstrap --bootstrap-password adminpw --bootstrap-region-id RegionOne \
    --bootstrap-public-url $url --bootstrap-internal-url $url --bootstrap-admin-url $url
}
keystone_start() {
  OS_KEYSTONE_CONFIG_DIR=$BED/etc/keystone OS_KEYSTONE_CONFIG_FILES=$BED/etc/keystone/keystone.conf \
    proc_start keystone uwsgi_python3 --die-on-term --master --http-socket "$BED_ADDRESS:5000" --wsgi-file /usr/bin/keystone-wsgi-public \
    --processes 2 --lazy-apps --enable-threads --buffer-size 65535 --add-header "Connection: close" \
    --thunder-lock --so-keepalive --disable-logging
  wait_for 90 keystone http_answers "http://$BED_ADDRESS:5000/v3"
}
