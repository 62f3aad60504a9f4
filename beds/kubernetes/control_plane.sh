# etcd, kube-apiserver on the provider network's gateway address, kube-controller-manager, kube-scheduler. Sourced after pki.sh.
# shellcheck shell=bash
kubectl() { "$KUBE_BIN/kubectl" --kubeconfig "$BED/kubeconfig" --request-timeout=5s "$@"; }
control_plane_up() {
  authority
  certificate apiserver /CN=kube-apiserver \
    DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$BED_ADDRESS,IP:10.96.0.1
  certificate admin /O=system:masters/CN=admin
  certificate kube-controller-manager /CN=system:kube-controller-manager
  certificate kube-scheduler /CN=system:kube-scheduler
  kubeconfig admin "$BED/kubeconfig"
  local n; for n in kube-controller-manager kube-scheduler; do kubeconfig $n "$BED/$n.kubeconfig"; done
  proc_start etcd "$KUBE_BIN/etcd" --data-dir "$BED/etcd" --unsafe-no-fsync --listen-peer-urls http://127.0.0.1:2398 \
    --listen-client-urls http://127.0.0.1:2399 --advertise-client-urls http://127.0.0.1:2399
  proc_start kube-apiserver "$KUBE_BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2399 \
    --bind-address=$BED_ADDRESS --advertise-address=$BED_ADDRESS --secure-port=6443 \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --service-cluster-ip-range=10.96.0.0/17 --authorization-mode=Node,RBAC --allow-privileged=true \
    --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
    --kubelet-preferred-address-types=InternalIP
  wait_for 90 kube-apiserver kubectl get --raw /readyz
  proc_start kube-controller-manager "$KUBE_BIN/kube-controller-manager" --kubeconfig="$BED/kube-controller-manager.kubeconfig" \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials \
    --leader-elect=false --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key"
  proc_start kube-scheduler "$KUBE_BIN/kube-scheduler" --kubeconfig="$BED/kube-scheduler.kubeconfig" --leader-elect=false
}
