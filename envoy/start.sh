#!/bin/sh
# Starts Envoy in a container on one of the shipped configurations, with its examples replaced by what the environment
# says. A variable that is not set changes nothing, so a file that was edited by hand works as it is.
#
#   start.sh edge|transparent|signer [option of Envoy...]
#   start.sh print edge|transparent|signer        shows the result and starts nothing
#
#   BUCKET       for my-bucket
#   AWS_REGION   for eu-west-1
#   STORE        for https://s3.eu-west-1.amazonaws.com; by default S3 itself, in AWS_REGION
#   ORIGIN       for https://files.example.com; may have a path
#   MODULE       for target/mirror_on_miss.wasm
#   CREDENTIALS  `aws`: not from the file but as AWS does it (web identity, Pod Identity, instance profile)
#   LISTEN       for the signer's 127.0.0.1, where it is no sidecar
#
# It needs a shell and sed, as the image envoyproxy/envoy has them, and a directory to write to: TMPDIR or /tmp.
set -eu

here=$(dirname "$0")
newline='
'

main() {
  case "${1-}" in
    print) shift && render "$1" ;;
    edge | signer | transparent) start "$@" ;;
    *) fail "start.sh edge|transparent|signer [option of Envoy...], or with print before it" ;;
  esac
}

start() {
  name=$1
  shift
  config=${TMPDIR:-/tmp}/$name.yaml
  render "$name" > "$config"
  # One Envoy in a container has no predecessor to take over from.
  exec envoy -c "$config" --config-yaml "$(status "$name")" --disable-hot-restart "$@"
}

# The status listener asks the admin interface of its own Envoy; both Envoys may share one network namespace.
status() {
  case "$1" in
    edge | transparent) cat "$here/status.yaml" ;;
    signer) sed -e 's/port_value: 9903/port_value: 9904/' -e 's/port_value: 9901/port_value: 9902/' "$here/status.yaml" ;;
  esac
}

# In two steps: the examples become @NAMES@, and these become values. A value may look like an example, as that of a
# bucket which is called files.example.com does, but has no @ in it.
render() {
  examples=
  values=
  if [ -n "${STORE-}" ]; then
    url STORE "$STORE"
    [ -z "$path" ] || fail "STORE=$STORE is not allowed: no path; the bucket is named by BUCKET"
    host 's3\.eu-west-1\.amazonaws\.com' STORE
    [ "$scheme" = https ] || { without_tls bucket && without_tls store; }
  fi
  if [ -n "${ORIGIN-}" ]; then
    url ORIGIN "$ORIGIN"
    [ -z "$path" ] || examples="$examples$newline"'s|"authority": "files\.example\.com"|&, "path_prefix": "@ORIGIN_PATH@"|'
    value ORIGIN_PATH "$path"
    host 'files\.example\.com' ORIGIN
    [ "$scheme" = https ] || without_tls origin
  fi
  [ -z "${AWS_REGION-}" ] || example eu-west-1 AWS_REGION "$AWS_REGION"
  [ -z "${BUCKET-}" ] || example my-bucket BUCKET "$BUCKET"
  [ -z "${MODULE-}" ] || example 'target/mirror_on_miss\.wasm' MODULE "$MODULE"
  if [ -n "${LISTEN-}" ] && [ "$1" = signer ]; then
    examples="$examples$newline"'/^  - name: signer$/,/filter_chains:/ s|127\.0\.0\.1|@LISTEN@|'
    value LISTEN "$LISTEN"
  fi
  case "${CREDENTIALS-}" in
    '') ;;
    aws) examples="$examples$newline"'/^            credential_provider:$/,/credentials_data_source:/d' ;;
    *) fail "CREDENTIALS=$CREDENTIALS is not allowed: aws, or nothing for the file" ;;
  esac
  sed -e "$examples" -e "$values" "$here/$1.yaml"
}

# Where Envoy connects to, and everywhere else the name as clients write it.
host() {
  examples="$examples${newline}s|address: $1, port_value: 443|address: @$2_HOST@, port_value: @$2_PORT@|"
  value "$2_HOST" "$hostname"
  value "$2_PORT" "$port"
  example "$1" "$2" "$authority"
}

example() {
  examples="$examples${newline}s|$1|@$2@|g"
  value "$2" "$3"
}

value() {
  plain "$1" "$2"
  values="$values${newline}s|@$1@|$2|g"
}

# The cluster's transport_socket, to its last line.
without_tls() {
  examples="$examples$newline/^  - name: $1\$/,/^  - name: /{$newline/^    transport_socket:\$/,/trusted_ca:/d$newline}"
}

# Takes a URL apart into scheme, hostname, port, path, and authority: without a default port, which is not signed.
url() {
  plain "$1" "$2"
  case "$2" in
    http://?*) scheme=http default=80 ;;
    https://?*) scheme=https default=443 ;;
    *) fail "$1=$2 is not allowed: https://host[:port] or http://host[:port]" ;;
  esac
  rest=${2#*://}
  authority=${rest%%/*}
  path=${rest#"$authority"}
  path=${path%/}
  hostname=${authority%:*}
  port=${authority##*:}
  [ "$hostname" != "$authority" ] || port=$default
  case "$port" in '' | *[!0-9]*) fail "$1=$2 is not allowed: its port is no number" ;; esac
  [ "$port" != "$default" ] || authority=$hostname
}

# Nothing that means something to sed or YAML.
plain() {
  case "$2" in *[!A-Za-z0-9._~%:/-]*) fail "$1=$2 is not allowed: only letters, digits and . _ ~ % : / -" ;; esac
}

fail() {
  echo "start.sh: $1" >&2
  exit 1
}

main "$@"
