#!/usr/bin/env bash
# Gets what the tests use and npm does not bring: Debian packages, when root and missing, and a
# Python environment with the independent HTTP/2 peer; then the rivals of the bench. Says what it
# could not get.
set -uo pipefail
cd "$(dirname "$0")/.."
packages=(g++ cmake ninja-build libgtest-dev libssl-dev gnutls-bin nghttp2-client nftables
  iproute2 openssl python3 python3-venv)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: not root or no apt-get; missing: ${missing[*]}" >&2
  else
    apt-get update -qq || true
    for package in "${missing[@]}"; do
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
        >/dev/null || echo "setup: could not install $package" >&2
    done
  fi
fi

venv=.cache/venv
if ! "$venv/bin/python" -c 'import h2, hyperframe' 2>/dev/null; then
  # Debian's own Python first: the one its python3-venv belongs to.
  python=/usr/bin/python3
  [ -x "$python" ] || python=python3
  rm -rf "$venv"
  mkdir -p .cache
  { "$python" -m venv "$venv" && "$venv/bin/python" -m pip install --quiet h2 hyperframe; } ||
    echo "setup: no Python h2 in $venv; the tests that use it fail" >&2
fi
# The rivals of the bench: its smoke run takes those that are there, and names the others.
timeout 300 bench/setup || echo 'setup: bench/setup did not end in 300 s' >&2
exit 0
