"""A stand-in for MinIO's client: the calls that envoy/compose/minio.sh makes, to the stand-in of MinIO.

An option or a call that the real one (RELEASE.2025-08-13T08-35-41Z) does not document is an error here too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from .minio import ADMIN_PORT


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["ready", "local"]:
        urlopen(f"http://127.0.0.1:{ADMIN_PORT}", timeout=3)
    elif arguments[:2] == ["alias", "set"]:
        alias, url, user, password = arguments[2:]
        _alias(alias).write_text(json.dumps({"url": url, "root": {"user": user, "password": password}}))
    elif arguments[:2] == ["mb", "--ignore-existing"]:
        (target,) = arguments[2:]
        alias, _, bucket = target.partition("/")
        _ask(alias, "mb", bucket)
    elif arguments[:3] == ["admin", "policy", "create"]:
        alias, name, file = arguments[3:]
        _ask(alias, "admin policy create", name, Path(file).read_text())
    elif arguments[:3] == ["admin", "user", "add"]:
        alias, access_key, secret_key = arguments[3:]
        _ask(alias, "admin user add", access_key, secret_key)
    elif arguments[:3] == ["admin", "policy", "attach"] and arguments[5:6] == ["--user"]:
        alias, name, _, access_key = arguments[3:]
        _ask(alias, "admin policy attach", name, access_key)
    else:
        sys.exit(f"mc: no such call: {' '.join(arguments)}")


def _alias(name: str) -> Path:
    directory = Path(os.environ["MC_CONFIG_DIR"])
    directory.mkdir(exist_ok=True)
    return directory / f"{name}.json"


def _ask(alias: str, call: str, *arguments: str) -> None:
    known = json.loads(_alias(alias).read_text())
    asked = {"root": known["root"], "call": call, "arguments": arguments}
    url = f"http://{urlsplit(known['url']).hostname}:{ADMIN_PORT}"
    try:
        urlopen(Request(url, json.dumps(asked).encode()), timeout=10)
    except HTTPError as error:
        sys.exit(f"mc: <ERROR> {error.read().decode()}")


if __name__ == "__main__":
    main()
