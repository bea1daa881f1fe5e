#!/bin/sh
# `make demo`: brings docker-compose.yaml up, shows a miss and a hit, and says what to open.
# `make demo-down` (demo.sh down): ends all of it, and removes what it stored.
#
#   STORE_KIND    minio, seaweedfs or garage: the bucket's server
#   DEMO_TIMEOUT  the seconds within which it is up, or ends: 1800, because the first run pulls images and builds the module
set -eu

# make sets it for our own Python, and docker-compose 1 is Python too.
unset PYTHONPATH

here=$(dirname "$0")
files="-f $here/../docker-compose.yaml"
kind=${STORE_KIND:-minio}
case "$kind" in
  minio) ;;
  garage | seaweedfs) files="$files -f $here/../docker-compose.$kind.yaml" ;;
  *) echo "demo: STORE_KIND=$kind is not allowed: minio, seaweedfs or garage" >&2 && exit 1 ;;
esac
export STORE_KIND="$kind"
end=$(($(date +%s) + ${DEMO_TIMEOUT:-1800}))
port=${PORT:-10000}
url=http://127.0.0.1:$port

compose() {
  # shellcheck disable=SC2086
  if docker compose version > /dev/null 2>&1; then
    timeout "$(left)" docker compose $files "$@"
  elif command -v docker-compose > /dev/null; then
    timeout "$(left)" docker-compose $files "$@"
  else
    echo "demo: neither 'docker compose' nor docker-compose is installed here" >&2
    exit 1
  fi
}

# The seconds that are left, and at least those that logs take.
left() {
  seconds=$((end - $(date +%s)))
  [ "$seconds" -gt 30 ] || seconds=30
  echo "$seconds"
}

# What a container said that did not come up, and the way out.
give_up() {
  {
    echo "demo: $1. What there is:"
    compose ps --all || true
    echo
    compose logs --tail 20 || true
    echo
    echo "demo: $1. Above is what its containers said last; make demo-down ends all of it."
  } >&2
  exit 1
}

ready() {
  compose exec -T signer /opt/mirror-on-miss/admin.sh GET /ready 9902 > /dev/null 2>&1
}

show() {
  echo "\$ curl -si $url/img/harbour.svg | head -6"
  curl -si "$url/img/harbour.svg" | head -6
  echo
}

if [ "${1-}" = down ]; then
  compose down --volumes
  exit
fi

compose up --build --detach || give_up "it did not start"
until ready; do
  [ "$(date +%s)" -lt "$end" ] || give_up "the signer is not ready after ${DEMO_TIMEOUT:-1800} s"
  sleep 1
done
console=
[ "$kind" != minio ] || console="  http://127.0.0.1:${STORE_CONSOLE_PORT:-9001}              MinIO, ${MINIO_ROOT_USER:-mirror-root} / ${MINIO_ROOT_PASSWORD:-mirror-root-secret}
"
echo
echo "The bucket is empty. The first request fills it:"
show
echo "The second is served by the bucket:"
show
cat << EOF
Open
  $url/index.html   the site, object by object from its new bucket
  http://127.0.0.1:${GRAFANA_PORT:-3000}              Grafana
  http://127.0.0.1:${PROMETHEUS_PORT:-9090}              Prometheus
$console
make demo-down ends all of it.
EOF
