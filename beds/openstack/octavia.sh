# Octavia's API (uwsgi, port 9876) and driver agent, with the OVN provider only. Sourced.
# shellcheck shell=bash
octavia_configure() { render "$BEDS/openstack/conf/octavia.conf" "$BED/etc/octavia/octavia.conf"; mkdir -p "$BED/octavia"; }
# octavia-lib has its sockets under /var/run/octavia built in: both processes get a mount namespace where that is our directory.
octavia_proc() { # name command...
  local name=$1; shift
  mkdir -p /run/octavia
  # shellcheck disable=SC2016
  proc_start "$name" unshare --mount --propagation slave sh -c 'mount --bind "$0" /run/octavia && exec "$@"' "$BED/octavia" "$@"
}
octavia_start() { # does not wait for the API
  # The agent first: the OVN provider, loaded when the API starts, fails for good when the agent's sockets are missing.
  proc_alive octavia-agent || rm -f "$BED"/octavia/*.sock
  octavia_proc octavia-agent octavia-driver-agent --config-file "$BED/etc/octavia/octavia.conf"
  local s; for s in status stats get; do wait_for 60 octavia-agent test -S "$BED/octavia/$s.sock"; done
  octavia_proc octavia-api uwsgi_python3 --die-on-term --master --need-app --http-socket "$BED_ADDRESS:9876" \
    --wsgi-file /usr/bin/octavia-wsgi --pyargv "--config-file $BED/etc/octavia/octavia.conf" --processes 2 --lazy-apps \
    --enable-threads --buffer-size 65535 --add-header "Connection: close" --thunder-lock --so-keepalive --disable-logging
}
octavia_wait() { wait_for 180 octavia-api http_answers "http://$BED_ADDRESS:9876/"; }
