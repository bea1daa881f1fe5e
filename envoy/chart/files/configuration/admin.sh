#!/bin/bash
# Asks Envoy's admin interface something, in an image that has no HTTP client: for health checks and draining.
#
#   admin.sh GET|POST path [port]    prints the body, chunked as it comes; fails unless the status is 200
#   admin.sh drain seconds [port]    says at /ready that it is about to go, and waits
set -eu

ask() {
  local method=$1 path=$2 port=${3:-9901} status_line status line
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf '%s %s HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$method" "$path" >&3
  IFS= read -r status_line <&3
  while IFS= read -r line <&3 && [ "$line" != $'\r' ]; do :; done
  cat <&3
  status=${status_line#* }
  [ "${status%% *}" = 200 ]
}

if [ "${1-}" = drain ]; then
  # New connections go elsewhere once /ready has been seen to fail. Who waits for a fill here is answered meanwhile.
  ask POST /healthcheck/fail "${3:-9901}"
  sleep "$2"
else
  ask "$@"
fi
