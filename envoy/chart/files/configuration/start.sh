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
#   ORIGIN       for https://files.example.com; may have a path. Its host may be an address of IPv6: http://[fd00::1]:8080
#   MODULE       for target/mirror_on_miss.wasm
#   REPLICAS     for mirror-on-miss-replicas
#   CREDENTIALS  `aws`: not from the file but as AWS does it (web identity, Pod Identity, instance profile)
#   LISTEN       for `::`, which takes IPv4 as well, and for the 127.0.0.1 of a signer that is no sidecar. `0.0.0.0` is
#                IPv4 alone, and the default on a kernel without IPv6
#   LISTEN_PORT  for the 10000 of an edge or a front tier
#   STATUS_LISTEN  for LISTEN at the status port, where an edge is for its own pod and its probes come from elsewhere
#   HEAP_MIB     for the 512 MiB of memory that an edge takes beside its module: 128 more for each worker above two
#   STORE_KIND   what the store is, which says what it needs: a name of the table `kinds` below. `aws` by default
#   CA_FILE      for the image's /etc/ssl/certs/ca-certificates.crt: authorities, in PEM, that certificates of bucket and
#                origin may be signed by. It replaces the image's, so a file for both has those as well
#   IF_NONE_MATCH  `false` for a store without conditional writes, or the header that it has in their place:
#                x-oss-forbid-overwrite, x-cos-forbid-overwrite, x-tos-forbid-overwrite. Edge and signer need the same.
#                It goes before what STORE_KIND says
#   ADDRESSING_STYLE  `virtual` for a store that has the bucket in the host (BUCKET.HOST) and not in the path; both need
#                it. It goes before what STORE_KIND says
#   PUT_HEADERS  `name=value`, separated by spaces: what the bucket demands of a write (`bucket.put_headers`); both need it
#   ON_5XX       `origin`: while the bucket fails, its origin serves (`rules[].on_5xx`). A file whose plugin has rules says
#                there for which of them; this is Envoy's half then
#   ORIGIN_AUTH  what the origin demands of its readers: `s3`, `gcs`, `sas` or `authorization`. origin-*.yaml say more
#   ORIGIN_REGION  for the eu-central-1 of an origin of S3
#   ORIGIN_DNS   `strict`: each address of the origin's name is a host of its own, which is left alone while it fails
#   ORIGIN_HTTP  `2`: the origin speaks HTTP/2 and nothing else
#   TLS_CERTIFICATE, TLS_KEY  files in PEM: the edge takes TLS as well, at TLS_PORT (10443) of all addresses. With
#                LISTEN=127.0.0.1 clients have no other way in
#
# It needs a shell and sed, as the image envoyproxy/envoy has them, and a directory to write to: TMPDIR or /tmp.
set -eu

here=$(dirname "$0")
newline='
'

# STORE_KIND, and the IF_NONE_MATCH and ADDRESSING_STYLE that it means. docs/compatibility.md says what each was found to do;
# `mirror-on-miss probe` asks a store itself.
kinds='
aws        true                    path
ceph       false                   path
cos        x-cos-forbid-overwrite  virtual
garage     false                   path
gcs        false                   path
minio      true                    path
oss        x-oss-forbid-overwrite  virtual
r2         true                    path
rclone     false                   path
s3rver     false                   path
seaweedfs  true                    path
swift      true                    path
tos        x-tos-forbid-overwrite  virtual
versitygw  true                    path
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
  authorities
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

# An empty file is that of a compose file which was told no other.
authorities() {
  [ -z "${CA_FILE-}" ] || [ -r "$CA_FILE" ] || fail "CA_FILE=$CA_FILE is not there, or not for this user to read"
  [ -z "${CA_FILE-}" ] || [ -s "$CA_FILE" ] || CA_FILE=
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
  of_kind
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
  if [ -n "${PUT_HEADERS-}" ]; then put_headers; fi
  case "${ON_5XX-}" in
    '' | pass) ;;
    origin) on_5xx "$1" ;;
    *) fail "ON_5XX=$ON_5XX is not allowed: pass or origin" ;;
  esac
  case "$1" in edge | transparent) origin "$1" ;; esac
  if [ -n "${ORIGIN-}" ]; then
    url ORIGIN "$ORIGIN"
    [ -z "$path" ] || examples="$examples$newline"'s|"authority": "files\.example\.com"|&, "path_prefix": "@ORIGIN_PATH@"|'
    value ORIGIN_PATH "$path"
    host 'files\.example\.com' ORIGIN
    [ "$scheme" = https ] || { without_tls origin && examples="$examples$newline"'/^    transport_socket: \*origin-tls$/d'; }
  fi
  [ -z "${AWS_REGION-}" ] || example eu-west-1 AWS_REGION "$AWS_REGION"
  [ -z "${BUCKET-}" ] || example my-bucket BUCKET "$BUCKET"
  case "${HEAP_MIB-}" in
    '') ;;
    *[!0-9]* | 0* | ???????*) fail "HEAP_MIB=$HEAP_MIB is not allowed: a number of MiB" ;;
    *) examples="$examples${newline}s|max_heap_size_bytes: 536870912|max_heap_size_bytes: $((HEAP_MIB * 1048576))|" ;;
  esac
  [ -z "${CA_FILE-}" ] || example '/etc/ssl/certs/ca-certificates\.crt' CA_FILE "$CA_FILE"
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

# What the kind of the store means, where no variable says otherwise.
of_kind() {
  [ -n "${STORE_KIND-}" ] || return 0
  names=
  # shellcheck disable=SC2086
  set -- $kinds
  while [ $# -ge 3 ]; do
    [ "$1" != "$STORE_KIND" ] || { : "${IF_NONE_MATCH:=$2}" "${ADDRESSING_STYLE:=$3}" && return 0; }
    names="$names${names:+, }$1"
    shift 3
  done
  fail "STORE_KIND=$STORE_KIND is not allowed: $names"
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

# How the origin is asked, by fills and by clients that are passed to it. The options of both clusters stand in the first.
origin() {
  case "${ORIGIN_AUTH-}" in
    '') ;;
    authorization | gcs | s3) in_origin "/^        - name: envoy\.filters\.http\.upstream_codec\$/i\\$newline$(snippet "origin-$ORIGIN_AUTH" '        ')" ;;
    sas)
      if grep -q '^ *environment_variables: {host_env_keys: \[' "$here/$1.yaml"; then
        examples="$examples$newline"'s|^ *environment_variables: {host_env_keys: \[|&ORIGIN_SAS, |'
      else
        # Where vm_config stands, another one in each edge.
        indent=$(sed -n 's/^\( *\)vm_id: mirror_on_miss$/\1/p' "$here/$1.yaml")
        examples="$examples$newline/^ *vm_id: mirror_on_miss\$/a\\$newline$(snippet origin-sas "$indent")"
      fi
      examples="$examples$newline"'s|"authority": "files\.example\.com"|&, "parameters": {"env": "ORIGIN_SAS"}|'
      ;;
    *) fail "ORIGIN_AUTH=$ORIGIN_AUTH is not allowed: authorization, gcs, s3 or sas" ;;
  esac
  case "${ORIGIN_DNS-}" in
    '' | logical) ;;
    strict)
      in_origin 's/^    type: LOGICAL_DNS$/    type: STRICT_DNS/'
      # The second attempt goes to another address.
      others='{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}'
      in_origin "s|, num_retries: 1}|, num_retries: 1, host_selection_retry_max_attempts: 3, retry_host_predicate: [$others]}|"
      ;;
    *) fail "ORIGIN_DNS=$ORIGIN_DNS is not allowed: logical or strict" ;;
  esac
  case "${ORIGIN_HTTP-}" in
    '' | 1) ;;
    2)
      in_origin 's/explicit_http_config: {http_protocol_options: {}}/explicit_http_config: {http2_protocol_options: {}}/'
      examples="$examples$newline"'s|"authority": "files\.example\.com"|&, "http2": true|' ;;
    *) fail "ORIGIN_HTTP=$ORIGIN_HTTP is not allowed: 1 or 2" ;;
  esac
}

# Envoy's half: the filter hears of a bucket that fails. One that says nothing for 5 s is asked once more. The transparent edge
# lets its first attempt go on beside the second one: that is the filter's, and may take longer.
on_5xx() {
  class='{name: class, typed_config: {"@type": type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput}}'
  case "$1" in
    edge) examples="$examples$newline"'s|^\( *\)- single_predicate: {input: \*status, value_match: {exact: "400"}}$|&\n\1- single_predicate: {input: '"$class"', value_match: {exact: "5xx"}}|' ;;
    transparent)
      examples="$examples$newline"'s|^\( *\)retriable_status_codes: \[400, 403, 404\]$|\1retriable_status_codes: [400, 403, 404, 500, 502, 503, 504]\n\1per_try_timeout: 5s|'
      examples="$examples$newline"'/cluster: bucket-then-miss/,/retry_policy:/ s|^\( *\)timeout: 0s$|&\n\1hedge_policy: {hedge_on_per_try_timeout: true}|' ;;
    *) return 0 ;;
  esac
  examples="$examples$newline"'s|^\( *\)num_retries: 2$|\1num_retries: 1\n\1per_try_timeout: 5s|'
  grep -q '"rules"' "$here/$1.yaml" || examples="$examples$newline"'s|^\( *\)"stream": {$|\1"rules": [{"on_5xx": "origin"}],\n&|'
}

# In the cluster of the origin, and in the one for streams from there, which shares most of it.
in_origin() {
  for cluster in origin origin-streams; do
    examples="$examples$newline/^  - name: $cluster\$/,/^  - name: /{$newline$1$newline}"
  done
}

# A file without its comments, as text of sed's `i` and `a`: each line but the last ends in a backslash.
snippet() {
  plain ORIGIN_REGION "${ORIGIN_REGION-}"
  sed -e '/^ *#/d' -e '/^$/d' -e "s/eu-central-1/${ORIGIN_REGION:-eu-central-1}/" -e 's/\\/&&/g' -e "s/^/$2/" -e '$!s/$/\\/' "$here/$1.yaml"
}

# What the module sends with a write, and what the signer lets it send: these values, and no others.
put_headers() {
  json=
  for header in $PUT_HEADERS; do
    name=${header%%=*}
    value=${header#*=}
    case "$name" in
      x-amz-acl | x-amz-expected-bucket-owner | x-amz-server-side-encryption | x-amz-tagging) ;;
      x-amz-server-side-encryption-aws-kms-key-id | x-amz-server-side-encryption-bucket-key-enabled | x-amz-server-side-encryption-context) ;;
      *) fail "PUT_HEADERS=$PUT_HEADERS is not allowed: $name is no header for it" ;;
    esac
    case "$value" in '' | *[!A-Za-z0-9._~%:/=\&+-]*) fail "PUT_HEADERS=$PUT_HEADERS is not allowed: the value of $name" ;; esac
    value=$(printf %s "$value" | sed 's/&/\\&/g')
    json="$json${json:+, }\"$name\": \"$value\""
    examples="$examples${newline}s|{name: $name, present_match: true}|{name: $name, string_match: {exact: \"$value\"}, invert_match: true}|"
  done
  examples="$examples$newline"'s|"path_prefix": "/my-bucket"|&, "put_headers": {'"$json}|"
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
      examples="$examples$newline"'/- name: marked-again$/,/route:/ s|/my-bucket/|/|'
      examples="$examples$newline"'/- name: object-again-with-query$/,/- name: object-with-query$/ s|/my-bucket/|/|'
      examples="$examples$newline"'/^  - name: miss$/,$ { s|prefix: /my-bucket/|prefix: /|; s|regex: "/my-bucket(|regex: "(|; }'
      examples="$examples$newline"'/- name: marked-again$/,/- name: marked$/ !s|^\( *\)cluster: miss$|&\n\1regex_rewrite: {pattern: {regex: "^/my-bucket/"}, substitution: /}|'
      examples="$examples$newline"'s|^\( *\)cluster: bucket-then-miss$|&\n\1prefix_rewrite: /|'
      examples="$examples$newline"'/- name: listing$/,/host_rewrite_literal:/ s|^\( *\)host_rewrite_literal:|\1regex_rewrite: {pattern: {regex: "/my-bucket/?"}, substitution: /}\n&|'
      # A redirect names the path that clients write. A whole URL is the edge's to follow, or another host's.
      examples="$examples$newline"'/^  - name: miss$/,$ s#^          http_filters:$#&\
          - name: path-of-clients\
            typed_config:\
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua\
              default_source_code:\
                inline_string: |\
                  function envoy_on_response(handle)\
                    local location = handle:headers():get("location")\
                    if location and location:find("^/") then\
                      location = location:gsub("^/%./", "/"):gsub("^/", "/my-bucket/"):gsub("^//", "/.//")\
                      handle:headers():replace("location", location)\
                    end\
                  end#' ;;
  esac
}

# Where Envoy connects to, and everywhere else the name as clients write it.
host() {
  quote=
  case "$hostname" in *:*) quote=\" ;; esac
  examples="$examples${newline}s|address: $1, port_value: 443|address: $quote@$2_HOST@$quote, port_value: @$2_PORT@|"
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
  examples="$examples$newline/^  - name: $1\$/,/^  - name: /{$newline/^    transport_socket:\( &.*\)\{0,1\}\$/,/trusted_ca:/d$newline}"
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
  case "$authority" in
    \[*\]) hostname=$authority port=$default ;;
    *:*) ;;
    *) port=$default ;;
  esac
  hostname=${hostname#[}
  hostname=${hostname%]}
  case "$port" in '' | *[!0-9]*) fail "$1=$2 is not allowed: its port is no number" ;; esac
  [ "$port" != "$default" ] || authority=${authority%":$port"}
}

# Nothing that means something to sed or YAML. The brackets of an address stand in quotes where an origin has them.
plain() {
  case "$1 $2" in "ORIGIN "*\[*) set -- "$1" "$(printf %s "$2" | sed 's/\[\([0-9A-Fa-f:.]*\)\]/\1/')" ;; esac
  case "$2" in *[!A-Za-z0-9._~%:/-]*) fail "$1=$2 is not allowed: only letters, digits and . _ ~ % : / -" ;; esac
}

fail() {
  echo "start.sh: $1" >&2
  exit 1
}

main "$@"
