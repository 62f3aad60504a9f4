# Kuryr's processes: `controller` beside the API server, and a `daemon` inside every node. Sourced after kubernetes/node.sh.
# shellcheck shell=bash
KURYR=$BED/kuryr/bin
controller_start() {
  proc_start kuryr-controller "$KURYR/kuryr" controller --config-file "$BED/kuryr/controller.conf"
}
controller_ready() { curl -sf -m 2 http://127.0.0.1:8082/ready; }
daemon_start() { # host
  KUBERNETES_NODE_NAME=$1 proc_start "$1-daemon" nsenter --mount="$BED/nodes/$1/pin/mnt" --net="/run/netns/bed-$1" -- \
    "$KURYR/kuryr" daemon --config-file /etc/kuryr/kuryr.conf
}
daemon_ready() { in_node "$1" curl -sf -m 2 http://127.0.0.1:8090/ready; }
process_start() { # controller, or a host
  if [[ $1 = controller ]]; then controller_start; else daemon_start "$1"; fi
}
process_name() { if [[ $1 = controller ]]; then echo kuryr-controller; else echo "$1-daemon"; fi; }
process_ready() { if [[ $1 = controller ]]; then controller_ready; else daemon_ready "$1"; fi; }
