# Settings, steps and processes of the bed. Sourced by every script here; `cargo xtask bed` is the way in.
#
#   KURYR_BED_DIR    everything the bed writes while it is up           /var/lib/kuryr-bed
#   XDG_CACHE_HOME   what is worth keeping between two beds, in kuryr/  ~/.cache
# shellcheck shell=bash
set -euo pipefail
BEDS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BED=${KURYR_BED_DIR:-/var/lib/kuryr-bed}
CACHE=${XDG_CACHE_HOME:-${HOME:-/var}/.cache}/kuryr
HOSTS=(h1 h2)                     # each an OVN chassis and a Kubernetes node; h1 is number 1
# Where Keystone, Neutron and Octavia listen, and the API server too: the root namespace on the provider network, which nodes reach.
export BED_ADDRESS=172.24.4.1

# Debian's own python3 and tools, and no proxy between services of one machine.
USER_PATH=$PATH
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 BED BEDS
unset PYTHONPATH PYENV_VERSION http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy REQUESTS_CA_BUNDLE

# ---- saying what happens: one line per step, with the seconds since the command began
export BED_T0=${BED_T0:-$EPOCHREALTIME}
step() { awk -v a="$BED_T0" -v b="$EPOCHREALTIME" -v text="$*" 'BEGIN { printf "%7.1f s  %s\n", b - a, text }'; }
die() { echo "bed: $*" >&2; exit 1; }

# One command at a time changes the bed. The lock is on a directory, so that it leaves no file; processes do not inherit it.
only_one() {
  [[ $(id -u) = 0 ]] || die "the bed needs root (network namespaces, mounts): run it as root"
  [[ -z ${BED_LOCKED:-} ]] || return 0
  mkdir -p "$(dirname "$BED")"; exec 9<"$(dirname "$BED")"
  flock -n 9 || { step "waiting for another command that changes the bed"; flock 9; }
  export BED_LOCKED=1
}

# ---- Debian packages
install_packages() { # package...
  local missing=() p
  for p in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) = installed ]] || missing+=("$p")
  done
  (( ${#missing[@]} )) || return 0
  step "installing ${missing[*]}"
  mkdir -p "$BED/log"
  # The packages must not start daemons of their own; if someone has a policy already, it stays.
  local policy=/usr/sbin/policy-rc.d made=
  [[ -e $policy ]] || { made=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; }
  local apt=(apt-get -q -y -o DPkg::Lock::Timeout=300) ok=1
  { "${apt[@]}" update && DEBIAN_FRONTEND=noninteractive "${apt[@]}" --no-install-recommends install "${missing[@]}"; } \
    >>"$BED/log/apt.log" 2>&1 || ok=
  [[ -z $made ]] || rm -f $policy
  [[ $ok ]] || { tail -5 "$BED/log/apt.log" >&2; die "apt-get failed ($BED/log/apt.log): check the machine's package sources"; }
}

# ---- processes: each in a session of its own, recorded as "pid start-time boot", ended only by that record.
# KURYR_BED_OWNER in its environment proves, even without the record, that a process is this bed's.
BOOT=$(</proc/sys/kernel/random/boot_id)
started_at() { # pid -> clock ticks since boot
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }; set -- $stat
  echo "${20}"
}
proc_pid() { # name -> its pid, if it runs
  local pid ticks boot
  { read -r pid ticks boot <"$BED/run/$1.pid"; } 2>/dev/null || return 1
  [[ $boot = "$BOOT" && $(started_at "$pid") = "$ticks" ]] && echo "$pid"
}
proc_alive() { proc_pid "$1" >/dev/null; }
proc_start() { # name command...
  local name=$1; shift
  ! proc_alive "$name" || return 0
  mkdir -p "$BED/run" "$BED/log"; rm -f "$BED/run/$name.pid"
  # The process writes its own record before it becomes the program: an interrupted `up` cannot lose it.
  KURYR_BED_OWNER=$BED setsid bash -c '
    read -r stat </proc/$$/stat; fields=(${stat##*) }); record=$1; shift
    echo "$$ ${fields[19]} $(</proc/sys/kernel/random/boot_id)" >"$record.new"; mv "$record.new" "$record"
    exec "$@"' bash "$BED/run/$name.pid" "$@" >>"$BED/log/$name.log" 2>&1 </dev/null 9<&- &
  local i
  for ((i = 0; i < 500; i++)); do [[ ! -s $BED/run/$name.pid ]] || return 0; sleep 0.01; done
  die "$name did not start: see $BED/log/$name.log"
}
proc_stop() { # name [seconds of grace]
  local name=$1 grace=${2:-5} pid i
  if pid=$(proc_pid "$name"); then
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < grace * 20; i++)); do proc_alive "$name" || break; sleep 0.05; done
    kill -KILL -- "-$pid" 2>/dev/null || true     # its session is its own: what is left of it goes too
  fi
  rm -f "$BED/run/$name.pid"
}
proc_sweep() { # end whatever carries this bed's mark and escaped the records
  local f pid
  for f in $(grep -lzsxF "KURYR_BED_OWNER=$BED" /proc/[0-9]*/environ || true); do
    pid=${f#/proc/}; pid=${pid%/environ}
    echo "bed: ending $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-60)), which had no record" >&2
    kill -KILL "$pid" 2>/dev/null || true
  done
}
# Wait until a command succeeds; give up at once when the process it depends on has died.
wait_for() { # seconds process command...
  local seconds=$1 name=$2 i; shift 2
  for ((i = 0; i < seconds * 20; i++)); do
    ! "$@" >/dev/null 2>&1 || return 0
    [[ $name = - ]] || proc_alive "$name" || { tail -n 5 "$BED/log/$name.log" >&2; die "$name ended; its log is $BED/log/$name.log"; }
    sleep 0.05
  done
  die "no success within $seconds s of: $* (log: $BED/log/$name.log)"
}
http_answers() { curl -s -o /dev/null -m 5 -w '%{http_code}' "$1" | grep -qE '^(200|300|401)$'; }

# A configuration file of the bed: a template with @BED@ for the state directory and @ADDRESS@ for the services' address.
render() { mkdir -p "$(dirname "$2")"; sed "s|@BED@|$BED|g; s|@ADDRESS@|$BED_ADDRESS|g" "$1" >"$2"; }

on_host() { # host command...: inside a chassis' network namespace
  local host=$1; shift
  ip netns exec "bed-$host" "$@"
}
