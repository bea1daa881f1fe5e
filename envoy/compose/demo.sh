#!/bin/sh
# `make demo`: brings docker-compose.yaml up, shows a miss and a hit, and says what to open.
# `make demo-down` (demo.sh down): ends all of it, and removes what it stored.
set -eu

# make sets it for our own Python, and docker-compose 1 is Python too.
unset PYTHONPATH

here=$(dirname "$0")
file=$here/../docker-compose.yaml
port=${PORT:-10000}
url=http://127.0.0.1:$port

compose() {
  if docker compose version > /dev/null 2>&1; then
    docker compose -f "$file" "$@"
  elif command -v docker-compose > /dev/null; then
    docker-compose -f "$file" "$@"
  else
    echo "demo: neither 'docker compose' nor docker-compose is installed here" >&2
    exit 1
  fi
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

compose up --build --detach
until ready; do sleep 1; done
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
  http://127.0.0.1:${STORE_CONSOLE_PORT:-9001}              MinIO, ${MINIO_ROOT_USER:-mirror-root} / ${MINIO_ROOT_PASSWORD:-mirror-root-secret}

make demo-down ends all of it.
EOF
