#!/bin/sh
# What Affinity is built with and its tests need, installed where it is missing (Debian 12 and its
# relatives). Says nothing and touches nothing when all is there, so `make` may call it every time.
#   --check   only say what is missing; exit 1 if anything is
set -eu

packages="librdkafka-dev libsimdjson-dev libfmt-dev zlib1g-dev libmicrohttpd-dev libssl-dev liblapacke-dev libopenblas-dev liblinear-dev pkg-config g++ python3 python3-jsonschema kcat strace"

if ! command -v swift >/dev/null 2>&1; then
  echo "setup: no swift on the PATH; Affinity needs Swift 6.2 or later: https://www.swift.org/install" >&2
  exit 1
fi

if ! command -v dpkg-query >/dev/null 2>&1; then
  missing=""
  command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
  for library in rdkafka simdjson fmt zlib libmicrohttpd libcrypto lapacke openblas; do
    pkg-config --exists "$library" 2>/dev/null || missing="$missing $library"
  done
  if [ -n "$missing" ]; then
    echo "setup: not a Debian system; please install the development files of:$missing" >&2
    exit 1
  fi
  exit 0
fi

missing=""
for package in $packages; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "${1:-}" = --check ]; then
  echo "setup: missing:$missing" >&2
  exit 1
fi

as_root=""
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "setup: please run as root: apt-get install -y$missing" >&2
    exit 1
  fi
  as_root=sudo
fi

echo "setup: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1; }
# An update that half fails (one mirror of several) may still be enough for the install.
apt update || echo "setup: apt-get update reported errors; going on" >&2
# shellcheck disable=SC2086 # a list of words
if ! apt install -y --no-install-recommends $missing; then
  cat "$log" >&2
  echo "setup: apt-get could not install:$missing" >&2
  exit 1
fi
