#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks, and nothing else: a machine that has it all is left as it is.
# Package managers fetch from wherever this machine is configured to fetch from.
set -euo pipefail

# Pinned, so that a verdict does not change by itself.
CARGO_DENY_VERSION=0.20.2
CARGO_FUZZ_VERSION=0.13.2
# The version of the library in Cargo.lock: they talk to each other.
GUNGRAUN_VERSION=0.20.0

PATH="${CARGO_HOME:-$HOME/.cargo}/bin:/usr/sbin:/sbin:$PATH"
root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# command → Debian package. `dnsmasq-base` is the program without the service, which nobody here wants.
missing=()
while read -r command package; do
  command -v "$command" >/dev/null || missing+=("$package")
done <<'TABLE'
cc gcc
g++ g++
make make
openssl openssl
sipp sip-tester
haproxy haproxy
dnsmasq dnsmasq-base
valgrind valgrind
xz xz-utils
TABLE

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || { echo "setup: install by hand, there is no apt-get here: ${missing[*]}" >&2; exit 69; }
  echo "setup: installing ${missing[*]}"
  # The tests run haproxy and dnsmasq themselves: no service may start just because a package is installed.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | root tee "$policy" >/dev/null
    root chmod 755 "$policy"
    trap 'root rm -f "$policy"' EXIT
  fi
  install() {
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1
  }
  log=$(mktemp)
  # Package lists may be old or absent: fetch them only if the first try fails.
  if ! install; then
    { root apt-get update -qq >"$log" 2>&1 && install; } || { cat "$log" >&2; exit 69; }
  fi
  rm -f "$log"
  case " ${missing[*]} " in
    *" haproxy "*) # nor at the next boot
      if [ -d /run/systemd/system ]; then root systemctl disable --quiet haproxy.service; fi ;;
  esac
fi

for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done

# A target directory of its own: a build of ours that is under way must not wait for this one.
build() {
  echo "setup: building $1 $2, some minutes, once"
  local scratch
  scratch=$(mktemp -d)
  CARGO_TARGET_DIR="$scratch" cargo install --quiet --locked --force --version "$2" "$1"
  rm -rf "$scratch"
}

if [ "$(cargo deny --version 2>/dev/null)" != "cargo-deny $CARGO_DENY_VERSION" ]; then
  build cargo-deny "$CARGO_DENY_VERSION"
fi
if [ "$(cargo fuzz --version 2>/dev/null)" != "cargo-fuzz $CARGO_FUZZ_VERSION" ]; then
  build cargo-fuzz "$CARGO_FUZZ_VERSION"
fi
if [ "$(gungraun-runner --version 2>/dev/null)" != "gungraun-runner $GUNGRAUN_VERSION" ]; then
  build gungraun-runner "$GUNGRAUN_VERSION"
fi
