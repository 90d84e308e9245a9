#!/usr/bin/env bash
# Installs the Debian packages the tests use, when root and missing; says what it could not get.
set -uo pipefail
packages=(g++ cmake ninja-build libgtest-dev libssl-dev gnutls-bin nghttp2-client nftables iproute2)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok' || missing+=("$package")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: not root or no apt-get; missing: ${missing[*]}" >&2
  exit 0
fi
apt-get update -qq || true
for package in "${missing[@]}"; do
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
    >/dev/null || echo "setup: could not install $package" >&2
done
