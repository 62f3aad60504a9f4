# OVN's central databases and northd, in the root namespace. Sourced.
# shellcheck shell=bash
NB=unix:$BED/ovn/nb.sock SB=unix:$BED/ovn/sb.sock
nbctl() { ovn-nbctl --db="$NB" --timeout=30 "$@"; }
sbctl() { ovn-sbctl --db="$SB" --timeout=30 "$@"; }
ovn_start() {
  mkdir -p "$BED/ovn"
  local d port
  for d in nb sb; do
    port=6641; [[ $d = nb ]] || port=6642
    [[ -e $BED/ovn/$d.db ]] || ovsdb-tool create "$BED/ovn/$d.db" /usr/share/ovn/ovn-$d.ovsschema
    OVN_RUNDIR=$BED/ovn OVS_RUNDIR=$BED/ovn proc_start ovn-$d ovsdb-server "$BED/ovn/$d.db" --remote="punix:$BED/ovn/$d.sock" \
      --remote="ptcp:$port:127.0.0.1" --unixctl="$BED/ovn/$d.ctl" -vconsole:warn -vsyslog:off
  done
  wait_for 10 ovn-nb nbctl init
  wait_for 10 ovn-sb sbctl init
  OVN_RUNDIR=$BED/ovn OVS_RUNDIR=$BED/ovn proc_start ovn-northd ovn-northd --ovnnb-db="$NB" --ovnsb-db="$SB" \
    --unixctl="$BED/ovn/northd.ctl" -vconsole:info -vsyslog:off
}
