#!/usr/bin/env bash
# Brings what the tests need: system packages, and the peers of package-lock.json and requirements.txt.
#
# Cheap to repeat. The peers live in a cache outside the clone, PORTCULLIS_CACHE (by default
# ${XDG_CACHE_HOME:-$HOME/.cache}/portcullis), under a name that is the digest of what they are made from;
# tests/peers/node_modules and tests/peers/.venv are links into it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/portcullis}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

say() { printf 'install: %s\n' "$*" >&2; }

# The Debian packages behind the programs that are missing.
missing_packages() {
  command -v curl >/dev/null || echo curl
  command -v openssl >/dev/null || echo openssl
  command -v chromium >/dev/null || echo chromium
  command -v prometheus >/dev/null && command -v promtool >/dev/null || echo prometheus
  command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
  command -v npm >/dev/null || echo nodejs npm
  command -v python3 >/dev/null || echo python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

install_packages() {
  local packages
  mapfile -t packages < <(missing_packages | tr ' ' '\n')
  [ ${#packages[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    say "as root, run: apt-get install -y --no-install-recommends ${packages[*]}"
    exit 1
  fi
  say "apt-get install ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

digest() {
  {
    cat "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$here/requirements.txt"
    uname -m
    python3 --version
  } | sha256sum | cut -c1-16
}

fill() {
  local peers=$1
  say "fetching the peers into $peers"
  rm -rf "$peers"
  mkdir -p "$peers"
  cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$here/requirements.txt" "$peers/"
  (cd "$peers" && npm ci --loglevel=error >&2)
  python3 -m venv "$peers/.venv"
  "$peers/.venv/bin/pip" install -q --disable-pip-version-check -r "$peers/requirements.txt" >&2
  touch "$peers/complete"
}

link() {
  [ -L "$2" ] || rm -rf "$2"
  ln -sfn "$1" "$2"
}

install_packages
peers="$cache/peers-$(digest)"
exec 9>"$cache/peers.lock"
flock 9
[ -e "$peers/complete" ] || fill "$peers"
link "$peers/node_modules" "$here/node_modules"
link "$peers/.venv" "$here/.venv"
"$here/node_modules/.bin/node" --version >/dev/null
"$here/.venv/bin/python" -c 'import mcp, fastmcp, opentelemetry.proto, standardwebhooks'
