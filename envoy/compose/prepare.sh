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
    printf '[default]\naws_access_key_id=%s%s\naws_secret_access_key=%s\n' "$who" "$(random 6)" "$(random 20)" > "$file.new"
    mv "$file.new" "$file"
  fi
done

chown "$STORE_USER" /data
