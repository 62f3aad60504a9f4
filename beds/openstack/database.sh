# MariaDB for Keystone, Neutron and Octavia, on a unix socket. Sourced.
# (SQLite does not do: it answers 500 under any concurrency.)
# shellcheck shell=bash
MYSQL_SOCK=$BED/mysql.sock
# A throw-away database: durability is traded for speed.
MARIADBD=(mariadbd --no-defaults --user=root --datadir="$BED/mysql" --socket="$MYSQL_SOCK" --pid-file="$BED/mysql.own"
  --skip-networking --skip-log-bin --performance-schema=0 --skip-name-resolve --max-connections=400
  --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --innodb-flush-method=nosync --innodb-buffer-pool-size=128M
  --innodb-log-file-size=32M --character-set-server=utf8mb3 --lc-messages-dir=/usr/share/mysql)

sql() { mariadb --no-defaults -uroot -S "$MYSQL_SOCK" -N -B -e "$1"; }
database_ready() { [[ -e $BED/mysql/.ready ]]; }
database_start() {
  proc_start mariadb "${MARIADBD[@]}"
  wait_for 60 mariadb sql 'select 1'
}

# Migrations take a minute, so a migrated and seeded database is kept as a snapshot, named by all that it depends on.
database_snapshot_file() {
  local key
  key=$({ dpkg-query -W -f '${Package}=${Version}\n' python3-keystone python3-neutron python3-octavia mariadb-server-core
    echo "$BED_ADDRESS"; cat "$BEDS/openstack/seed.py" "$BEDS/openstack/migrate.sh"; } | sha256sum | cut -c1-16)
  echo "$CACHE/openstack-$key.tar.gz"
}
database_restore() { # an empty or half-made database is worth nothing: begin again, from the snapshot if there is one
  proc_stop keystone; proc_stop mariadb
  rm -rf "$BED/mysql" "$BED/keystone"
  local snapshot; snapshot=$(database_snapshot_file)
  [[ -s $snapshot ]] || return 1
  tar -C "$BED" -xzSf "$snapshot"
}
database_save() { # with everything that writes stopped
  local snapshot; snapshot=$(database_snapshot_file)
  proc_stop keystone 15; proc_stop mariadb 30
  touch "$BED/mysql/.ready"
  mkdir -p "$CACHE"
  tar -C "$BED" -cSf - mysql keystone | gzip -1 >"$snapshot.$$" && mv "$snapshot.$$" "$snapshot"
}
database_create() {
  mkdir -p "$BED/mysql"
  mariadb-install-db --no-defaults --user=root --datadir="$BED/mysql" --skip-test-db \
    --auth-root-authentication-method=normal --innodb-log-file-size=32M >"$BED/log/mariadb-install.log" 2>&1 ||
    { tail -5 "$BED/log/mariadb-install.log" >&2; die "mariadb-install-db failed"; }
  database_start
  local d; for d in keystone neutron octavia; do sql "create database $d character set utf8mb3"; done
}
