#!/bin/sh
# Runs once before the others, as root because new volumes are root's: makes the two credentials, each into the
# volume that one container alone gets to see, and gives the store its directory.
set -eu

random() {
  od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

for who in reader writer; do
  file=/run/$who/$who.credentials
  if [ ! -e "$file" ]; then
    # Garage takes keys of its own form alone.
    case "${STORE_KIND-}" in
      garage) access_key=GK$(random 12) secret_key=$(random 32) ;;
      *) access_key=$who$(random 6) secret_key=$(random 20) ;;
    esac
    printf '[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n' "$access_key" "$secret_key" > "$file.new"
    mv "$file.new" "$file"
  fi
done

if [ "${STORE_KIND-}" = garage ]; then
  for secret in rpc_secret admin_token; do
    [ -e "/data/$secret" ] || (umask 077 && random 32 > "/data/$secret")
    chown "$STORE_USER" "/data/$secret"
  done
fi
chown "$STORE_USER" /data
