#!/bin/sh
# What minio.sh does, for SeaweedFS: the bucket, and an identity for each of the two credentials. May be repeated.
# It repeats what it was told, so its secrets are taken out of what it says.
set -eu

{
  echo "s3.bucket.create -name $BUCKET"
  for who in reader writer; do
    access_key=$(sed -n 's/^aws_access_key_id=//p' "/run/$who/$who.credentials")
    secret_key=$(sed -n 's/^aws_secret_access_key=//p' "/run/$who/$who.credentials")
    case "$who" in reader) actions=Read ;; writer) actions=Read,Write ;; esac
    echo "s3.configure -apply -user $who -access_key $access_key -secret_key $secret_key -buckets $BUCKET -actions $actions"
  done
} | weed shell -master=store:9333 | sed 's/"secretKey": *"[^"]*"/"secretKey": "..."/'
