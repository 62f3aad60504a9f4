#!/usr/bin/env bash
# process.sh start|stop|kill|restart WHICH   WHICH is `controller`, or the host of a daemon. kill is -9; restart is kill, start, and wait
# until it is ready.
. "$(dirname "$(realpath "$0")")/../lib.sh"
. "$BEDS/kubernetes/node.sh"; . "$BEDS/kuryr/processes.sh"
action=${1:-} which=${2:-}
name=$(process_name "${which:?usage: process.sh start|stop|kill|restart controller|HOST}")
kill_it() {
  local pid
  if pid=$(proc_pid "$name"); then
    kill -KILL -- "-$pid"
    while proc_alive "$name"; do sleep 0.01; done
  fi
}
case $action in
  start) process_start "$which";;
  stop) proc_stop "$name" 10;;
  kill) kill_it;;
  restart) kill_it; process_start "$which"; wait_for 30 "$name" process_ready "$which";;
  *) die "unknown action $action";;
esac
