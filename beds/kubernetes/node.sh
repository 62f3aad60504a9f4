# A node: containerd and kubelet in the chassis' network namespace and in a mount namespace of its own, where the usual paths are this
# node's alone. The mount namespace is pinned at $BED/nodes/NAME/pin/mnt, so it can be entered, and found again, whatever died. Sourced.
# shellcheck shell=bash
NODE_PATHS=(/run /etc/cni /opt/cni /etc/kuryr /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/lib/kuryr
  /var/log/pods /var/log/containers)
in_node() { # host command...
  local host=$1; shift
  nsenter --mount="$BED/nodes/$host/pin/mnt" --net="/run/netns/bed-$host" -- "$@"
}
node_pinned() { [[ $(stat -f -c %T "$BED/nodes/$1/pin/mnt" 2>/dev/null) = nsfs ]]; }
node_address() { echo "172.24.4.$((200 + $(chassis_index "$1")))"; }

node_mounts_up() { # host
  local dir=$BED/nodes/$1 path
  mkdir -p "$dir/pin"
  for path in "${NODE_PATHS[@]}"; do
    [[ -d $path ]] || { mkdir -p "$path"; echo "$path" >>"$BED/mountpoints"; }
    # Whoever removes an empty directory of the machine takes away what other mount namespaces have mounted on it.
    [[ -n $(ls -A "$path") ]] || echo "a node of the bed in $BED hangs here" >"$path/.kuryr-bed"
  done
  if ! node_pinned "$1"; then
    # A mount namespace can only be pinned on a private mount.
    mountpoint -q "$dir/pin" || { mount --bind "$dir/pin" "$dir/pin"; mount --make-private "$dir/pin"; }
    touch "$dir/pin/mnt"
    # Everything is shared inside, because kubelet and mount propagation need it, and nothing of it leaks out.
    unshare --mount="$dir/pin/mnt" --propagation private mount --make-rshared /
  fi
  # What is not mounted: everything the first time, later what was taken away.
  nsenter --mount="$dir/pin/mnt" bash -euc '
    dir=$1 ovs=$2; shift 2
    for path; do
      mkdir -p "$dir$path"
      [[ ! $path -ef $dir$path ]] || continue
      mount --bind "$dir$path" "$path"; mount --make-rshared "$path"
    done
    mkdir -p /run/netns /run/lock /run/openvswitch /run/kuryr /etc/cni/net.d /opt/cni/bin
    mountpoint -q /run/openvswitch || mount --bind "$ovs" /run/openvswitch' bash "$dir" "$BED/chassis/$1" "${NODE_PATHS[@]}"
}
node_up() { # host image-archives...
  local host=$1 dir=$BED/nodes/$1 address; shift
  address=$(node_address "$host")
  node_mounts_up "$host"
  certificate "$host" "/O=system:nodes/CN=system:node:$host" "DNS:$host,IP:$address"
  kubeconfig "$host" "$dir/kubeconfig"
  render "$BEDS/kubernetes/conf/containerd.toml" "$dir/containerd.toml"
  render "$BEDS/kubernetes/conf/kubelet.yaml" "$dir/kubelet.yaml"
  sed -i "s|@NODE@|$host|g" "$dir/kubelet.yaml"
  cp "$KUBE_BIN/loopback" "$dir/opt/cni/bin/"
  # A first start of containerd begins with empty hands; an earlier one's containers still run and are taken over.
  proc_start "$host-containerd" nsenter --mount="$dir/pin/mnt" --net="/run/netns/bed-$host" -- \
    env PATH="$KUBE_BIN:$PATH" "$KUBE_BIN/containerd" -c "$dir/containerd.toml"
  local ctr=(in_node "$host" "$KUBE_BIN/ctr" --connect-timeout 2s)
  wait_for 30 "$host-containerd" "${ctr[@]}" version
  local image; for image; do "${ctr[@]}" -n k8s.io images import --local "$image" >/dev/null 2>&1 || die "$host cannot import $image"; done
  kubelet_start "$host"
}
kubelet_start() { # host
  local dir=$BED/nodes/$1
  proc_start "$1-kubelet" nsenter --mount="$dir/pin/mnt" --net="/run/netns/bed-$1" -- "$KUBE_BIN/kubelet" --config="$dir/kubelet.yaml" \
    --kubeconfig="$dir/kubeconfig" --hostname-override="$1" --node-ip="$(node_address "$1")" --v=2
}
node_processes() { # host -> pids in its mount namespace, and what descends from them (containers have mount namespaces of their own)
  local ns pid ppid
  node_pinned "$1" || return 0
  ns=$(stat -L -c %i "$BED/nodes/$1/pin/mnt")
  local -A ours=()
  local more=1
  for pid in $(find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/mnt' -lname "mnt:\[$ns\]" 2>/dev/null | cut -d/ -f3); do ours[$pid]=1; done
  while [[ $more ]]; do
    more=
    while read -r pid ppid; do
      [[ -z ${ours[$ppid]:-} || -n ${ours[$pid]:-} ]] || { ours[$pid]=1; more=1; }
    done < <(ps -eo pid=,ppid=)
  done
  echo "${!ours[@]}"
}
node_down() { # host
  local host=$1 dir=$BED/nodes/$1 pids i
  # kubelet first, or it starts again what ends; then containerd; then containers and shims, which outlive both.
  proc_stop "$host-kubelet"
  proc_stop "$host-containerd"
  for ((i = 0; i < 100; i++)); do
    pids=$(node_processes "$host"); [[ $pids ]] || break
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  # Mounts, and the network namespaces of pods, go with the mount namespace.
  ! node_pinned "$host" || umount "$dir/pin/mnt"
  ! mountpoint -q "$dir/pin" || umount "$dir/pin"
  rm -rf --one-file-system "$dir"
}
