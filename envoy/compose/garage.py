"""Does what minio.sh does, for Garage: the bucket, and its rights for the two credentials. May be repeated.

Its image has no shell, so this asks the admin API: https://garagehq.deuxfleurs.fr/api/garage-admin-v2.html
"""

import json
import os
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

BUCKET = os.environ["BUCKET"]
API = os.environ.get("GARAGE_ADMIN", "http://store:3903")
DATA = Path(os.environ.get("GARAGE_DATA", "/data"))
RUN = Path(os.environ.get("RUN", "/run"))
PATIENCE = 60
"""The seconds until the one node knows its place."""
CONFLICT = 409


def ask(call, asked=None):
    token = (DATA / "admin_token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = None if asked is None else json.dumps(asked).encode()
    with urlopen(Request(f"{API}/v2/{call}", body, headers), timeout=10) as response:
        return json.load(response)


def unless_there(call, asked):
    try:
        ask(call, asked)
    except HTTPError as error:
        if error.code != CONFLICT:
            raise SystemExit(f"{call}: {error.code} {error.read().decode()}") from None


def wait():
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if ask("GetClusterHealth")["status"] == "healthy":
                return
        except (URLError, OSError) as error:
            if time.monotonic() > end:
                raise SystemExit(f"{API} does not answer: {error}") from None
        if time.monotonic() > end:
            raise SystemExit(f"{API} is not healthy after {PATIENCE} s")
        time.sleep(0.5)


def credential(who):
    lines = (RUN / who / f"{who}.credentials").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


wait()
unless_there("CreateBucket", {"globalAlias": BUCKET})
bucket = ask(f"GetBucketInfo?globalAlias={BUCKET}")["id"]
for who in ("reader", "writer"):
    key = credential(who)
    access = key["aws_access_key_id"]
    known = {each["id"] for each in ask("ListKeys")}
    if access not in known:
        secret = key["aws_secret_access_key"]
        unless_there("ImportKey", {"accessKeyId": access, "secretAccessKey": secret, "name": who})
    rights = {"read": True, "write": who == "writer", "owner": False}
    ask("AllowBucketKey", {"bucketId": bucket, "accessKeyId": access, "permissions": rights})
print(f"{BUCKET} is there, with its reader and its writer")
