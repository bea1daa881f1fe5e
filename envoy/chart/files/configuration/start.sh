#!/bin/sh
# Starts Envoy in a container on one of the shipped configurations, with its examples replaced by what the environment
# says. A variable that is not set changes nothing, so a file that was edited by hand works as it is.
#
#   start.sh edge|transparent|signer|front [option of Envoy...]
#   start.sh print edge|transparent|signer|front    shows the result and starts nothing
#
#   BUCKET       for my-bucket
#   AWS_REGION   for eu-west-1
#   STORE        for https://s3.eu-west-1.amazonaws.com; by default S3 itself, in AWS_REGION
#   ORIGIN       for https://files.example.com; may have a path
#   MODULE       for target/mirror_on_miss.wasm
#   REPLICAS     for mirror-on-miss-replicas
#   CREDENTIALS  `aws`: not from the file but as AWS does it (web identity, Pod Identity, instance profile)
#   LISTEN       for `::`, which takes IPv4 as well, and for the 127.0.0.1 of a signer that is no sidecar. `0.0.0.0` is
#                IPv4 alone, and the default on a kernel without IPv6
#   LISTEN_PORT  for the 10000 of an edge or a front tier
#   STATUS_LISTEN  for LISTEN at the status port, where an edge is for its own pod and its probes come from elsewhere
#   HEAP_MIB     for the 512 MiB of memory that an edge takes beside its module: 128 more for each worker above two
#   IF_NONE_MATCH  `false` for a store without conditional writes, or the header that it has in their place:
#                x-oss-forbid-overwrite, x-cos-forbid-overwrite, x-tos-forbid-overwrite. Edge and signer need the same
#   ADDRESSING_STYLE  `virtual` for a store that has the bucket in the host (BUCKET.HOST) and not in the path; both need it
#   TLS_CERTIFICATE, TLS_KEY  files in PEM: the edge takes TLS as well, at TLS_PORT (10443) of all addresses. With
#                LISTEN=127.0.0.1 clients have no other way in
#
# It needs a shell and sed, as the image envoyproxy/envoy has them, and a directory to write to: TMPDIR or /tmp.
set -eu

here=$(dirname "$0")
newline='
'

main() {
  case "${1-}" in
    print) shift && render "$1" ;;
    edge | front | signer | transparent) start "$@" ;;
    *) fail "start.sh edge|transparent|signer|front [option of Envoy...], or with print before it" ;;
  esac
}

start() {
  name=$1
  shift
  case "$name" in edge | transparent) module ;; esac
  config=${TMPDIR:-/tmp}/$name.yaml
  render "$name" > "$config"
  # One Envoy in a container has no predecessor to take over from.
  exec envoy -c "$config" --config-yaml "$(status "$name")" --disable-hot-restart "$@"
}

# An API server that knows no image volumes drops them without a word.
module() {
  [ -z "${MODULE-}" ] || [ -e "$MODULE" ] || fail "MODULE=$MODULE is not there. On Kubernetes: image volumes need version\
 1.35, or the feature gate ImageVolume; components/custom-image needs neither"
}

# The status listener asks the admin interface of its own Envoy; both Envoys may share one network namespace.
status() {
  examples=
  values=
  LISTEN=${STATUS_LISTEN-${LISTEN-}}
  listen status
  case "$1" in
    signer) examples="$examples${newline}s/port_value: 9903/port_value: 9904/${newline}s/port_value: 9901/port_value: 9902/" ;;
  esac
  sed -e "$examples" -e "$values" "$here/status.yaml"
}

# In two steps: the examples become @NAMES@, and these become values. A value may look like an example, as that of a
# bucket which is called files.example.com does, but has no @ in it.
render() {
  examples=
  values=
  # Before the examples become names.
  case "${IF_NONE_MATCH-}" in
    '' | true) ;;
    false) condition false '/^ *- {name: if-none-match, string_match: {exact: "\*"}}$/d' ;;
    x-cos-forbid-overwrite | x-oss-forbid-overwrite | x-tos-forbid-overwrite)
      condition "\"$IF_NONE_MATCH\"" "s/{name: if-none-match, string_match: {exact: \"\*\"}}/{name: $IF_NONE_MATCH, string_match: {exact: \"true\"}}/" ;;
    *) fail "IF_NONE_MATCH=$IF_NONE_MATCH is not allowed: true, false or x-{cos,oss,tos}-forbid-overwrite" ;;
  esac
  case "${ADDRESSING_STYLE-}" in
    '' | path) ;;
    virtual) bucket_in_host "$1" ;;
    *) fail "ADDRESSING_STYLE=$ADDRESSING_STYLE is not allowed: path or virtual" ;;
  esac
  if [ -n "${STORE-}" ]; then
    url STORE "$STORE"
    [ -z "$path" ] || fail "STORE=$STORE is not allowed: no path; the bucket is named by BUCKET"
    if [ "${ADDRESSING_STYLE-}" = virtual ]; then
      hostname=${BUCKET:-my-bucket}.$hostname
      authority=${BUCKET:-my-bucket}.$authority
    fi
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
  case "${HEAP_MIB-}" in
    '') ;;
    *[!0-9]* | 0* | ???????*) fail "HEAP_MIB=$HEAP_MIB is not allowed: a number of MiB" ;;
    *) examples="$examples${newline}s|max_heap_size_bytes: 536870912|max_heap_size_bytes: $((HEAP_MIB * 1048576))|" ;;
  esac
  [ -z "${MODULE-}" ] || example 'target/mirror_on_miss\.wasm' MODULE "$MODULE"
  [ -z "${REPLICAS-}" ] || example mirror-on-miss-replicas REPLICAS "$REPLICAS"
  listen "$1"
  tls "$1"
  case "${CREDENTIALS-}" in
    '') ;;
    aws) examples="$examples$newline"'/^            credential_provider:$/,/watched_directory:/d' ;;
    *) fail "CREDENTIALS=$CREDENTIALS is not allowed: aws, or nothing for the file" ;;
  esac
  sed -e "$examples" -e "$values" "$here/$1.yaml"
}

# Where a listener listens. The signer's is for its own pod alone unless it is told.
listen() {
  listen=${LISTEN-}
  plain LISTEN "$listen"
  if [ ! -e /proc/net/if_inet6 ]; then
    case "$1 $listen" in *" ::" | edge" " | front" " | status" " | transparent" ") listen=0.0.0.0 ;; esac
  fi
  case "${LISTEN_PORT-}" in
    '') ;;
    *[!0-9]* | 0* | ??????*) fail "LISTEN_PORT=$LISTEN_PORT is not allowed: a port" ;;
    *) examples="$examples$newline"'s|ipv4_compat: true, port_value: 10000|ipv4_compat: true, port_value: '"$LISTEN_PORT|" ;;
  esac
  [ -n "$listen" ] || return 0
  case "$1" in
    signer) examples="$examples$newline"'/^  - name: signer$/,/filter_chains:/ s|address: 127\.0\.0\.1|address: @LISTEN@|' ;;
    *) examples="$examples$newline"'s|address: "::", ipv4_compat: true|address: @LISTEN@|' ;;
  esac
  case "$listen" in
    ::) listen='"::", ipv4_compat: true' ;;
    *) listen="\"$listen\"" ;;
  esac
  values="$values${newline}s/@LISTEN@/$listen/g"
}

# A second listener, with the filters of the first.
tls() {
  case "$1 ${TLS_CERTIFICATE-}${TLS_KEY-}" in edge" "?* | transparent" "?*) ;; *) return 0 ;; esac
  [ -n "${TLS_CERTIFICATE-}" ] && [ -n "${TLS_KEY-}" ] || fail "TLS_CERTIFICATE and TLS_KEY go together"
  case "${TLS_PORT:=10443}" in *[!0-9]* | 0* | ??????*) fail "TLS_PORT=$TLS_PORT is not allowed: a number of a port" ;; esac
  value TLS_CERTIFICATE "$TLS_CERTIFICATE"
  value TLS_KEY "$TLS_KEY"
  everywhere='"::", ipv4_compat: true'
  [ -e /proc/net/if_inet6 ] || everywhere=0.0.0.0
  types=type.googleapis.com/envoy.extensions.transport_sockets.tls.v3
  files='certificate_chain: {filename: "@TLS_CERTIFICATE@"}, private_key: {filename: "@TLS_KEY@"}'
  examples="$examples$newline"'/^  - name: edge$/,/^    - filters:$/ s|^    - filters:$|    - filters: \&edge_filters|'
  examples="$examples${newline}s|^  clusters:\$|  - name: edge-tls\\n\
    address: {socket_address: {address: $everywhere, port_value: $TLS_PORT}}\\n\
    per_connection_buffer_limit_bytes: 65536\\n\
    filter_chains:\\n\
    - transport_socket_connect_timeout: 10s\\n\
      filters: *edge_filters\\n\
      transport_socket:\\n\
        name: envoy.transport_sockets.tls\\n\
        typed_config:\\n\
          \"@type\": $types.DownstreamTlsContext\\n\
          common_tls_context: {alpn_protocols: [h2, http/1.1], tls_certificates: [{$files}]}\\n\\n&|"
}

# What the module sends with a write, and what the signer demands of one.
condition() {
  examples="$examples$newline"'s|"path_prefix": "/my-bucket"|&, "if_none_match": '"$1|$newline$2"
}

# Where paths have the bucket in them, which is in the host now. Clients of the transparent edge go on to write it.
bucket_in_host() {
  : "${STORE:=https://s3.${AWS_REGION:-eu-west-1}.amazonaws.com}"
  examples="$examples$newline"'s|"path_prefix": "/my-bucket"|"path_prefix": ""|'
  case "$1" in
    edge) examples="$examples$newline"'s|prefix_rewrite: /my-bucket/|prefix_rewrite: /|' ;;
    signer) examples="$examples$newline"'/not_rule:/,/safe_regex:/ s|/my-bucket||' ;;
    transparent)
      examples="$examples$newline"'s|"exposed": "path"|"exposed": "root"|'
      examples="$examples$newline"'/- name: object-again-with-query$/,/- name: object-with-query$/ s|/my-bucket/|/|'
      examples="$examples$newline"'/^  - name: miss$/,$ { s|prefix: /my-bucket/|prefix: /|; s|regex: "/my-bucket(|regex: "(|; }'
      examples="$examples$newline"'s|^\( *\)cluster: miss$|&\n\1regex_rewrite: {pattern: {regex: "^/my-bucket/"}, substitution: /}|'
      examples="$examples$newline"'s|^\( *\)cluster: bucket-then-miss$|&\n\1prefix_rewrite: /|'
      examples="$examples$newline"'/- name: listing$/,/host_rewrite_literal:/ s|^\( *\)host_rewrite_literal:|\1regex_rewrite: {pattern: {regex: "/my-bucket/?"}, substitution: /}\n&|' ;;
  esac
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
