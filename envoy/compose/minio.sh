#!/bin/sh
# Makes the bucket, and a user for each of the two credentials with the rights that envoy/aws/ gives it. May be
# repeated. MinIO removes incomplete uploads itself (MINIO_API_STALE_UPLOADS_EXPIRY) and knows no lifecycle rule for it.
set -eu

mc alias set store "$STORE" "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD"
mc mb --ignore-existing "store/$BUCKET"

for who in reader writer; do
  access_key=$(sed -n 's/^aws_access_key_id=//p' "/run/$who/$who.credentials")
  secret_key=$(sed -n 's/^aws_secret_access_key=//p' "/run/$who/$who.credentials")
  sed "s/my-bucket/$BUCKET/" "/aws/$who.json" > "/tmp/$who.json"
  mc admin policy create store "$who" "/tmp/$who.json"
  mc admin user add store "$access_key" "$secret_key"
  # Fails where it is in effect already, and then with these words only.
  said=$(mc admin policy attach store "$who" --user "$access_key" 2>&1) || case "$said" in
    *"already in effect"*) ;;
    *) echo "$said" >&2 && exit 1 ;;
  esac
done
