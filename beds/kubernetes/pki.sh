# The cluster's certificates and kubeconfigs, under $BED/pki and $BED/*.kubeconfig. Sourced.
# shellcheck shell=bash
PKI=$BED/pki API=https://$BED_ADDRESS:6443
new_key=(openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
authority() {
  [[ ! -f $PKI/ca.crt ]] || return 0
  mkdir -p "$PKI"; chmod 700 "$PKI"
  "${new_key[@]}" -x509 -keyout "$PKI/ca.key" -out "$PKI/ca.crt.new" -days 3650 -subj /CN=kuryr-bed 2>/dev/null
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$PKI/sa.key"     # signs service accounts' tokens
  openssl pkey -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub"
  mv "$PKI/ca.crt.new" "$PKI/ca.crt"
}
certificate() { # name subject [subject-alternative-names]
  [[ ! -f $PKI/$1.crt ]] || return 0
  "${new_key[@]}" -keyout "$PKI/$1.key" -out "$PKI/$1.csr" -subj "$2" 2>/dev/null
  # Side by side with others: the serial number is the clock's, not a file's.
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -set_serial "$(date +%s%N)$RANDOM" -days 3650 \
    -extfile <(echo "subjectAltName=${3:-DNS:$1}") -out "$PKI/$1.crt.new" 2>/dev/null
  mv "$PKI/$1.crt.new" "$PKI/$1.crt"
}
kubeconfig() { # name of a certificate, file
  cat >"$2" <<Y
apiVersion: v1
kind: Config
clusters: [{name: bed, cluster: {server: "$API", certificate-authority: $PKI/ca.crt}}]
users: [{name: $1, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: bed, context: {cluster: bed, user: $1}}]
current-context: bed
Y
}
