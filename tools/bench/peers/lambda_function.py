"""The function itself, and a server that calls it: `PORT PROCESSES ORIGIN STORE BUCKET`."""

from __future__ import annotations

import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import requests
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

WHOLE = 8 << 20
"""The bytes up to which an object is stored with one PUT: boto3's own threshold."""

POOL = 64
"""Connections that are kept to the origin and to the bucket."""


class Recipe:
    """The state that a warm function keeps between calls."""

    def __init__(self, origin: str, store: str, bucket: str) -> None:
        self._origin = origin
        self._bucket = bucket
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=POOL))
        self._s3 = boto3.client(
            "s3",
            endpoint_url=store,
            region_name="us-east-1",
            aws_access_key_id="nobody",
            aws_secret_access_key="secret",
            config=Config(
                max_pool_connections=POOL,
                # As over TLS, where neither is computed for each byte.
                s3={"addressing_style": "path", "payload_signing_enabled": False},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self._transfer = TransferConfig(multipart_threshold=WHOLE)

    def handler(self, path: str) -> tuple[int, dict[str, str]]:
        with self._session.get(self._origin + path, stream=True, timeout=85) as fetched:
            if fetched.status_code != 200:
                return 404, {}
            key = path.lstrip("/")
            kind = fetched.headers.get("Content-Type", "application/octet-stream")
            if int(fetched.headers["Content-Length"]) <= WHOLE:
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=fetched.content, ContentType=kind)
            else:
                extra: dict[str, Any] = {"ContentType": kind}
                self._s3.upload_fileobj(
                    fetched.raw, self._bucket, key, ExtraArgs=extra, Config=self._transfer
                )
        return 302, {"Location": path, "Cache-Control": "no-store"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    recipe: Recipe
    bucket: str

    def do_GET(self) -> None:
        status, headers = self.recipe.handler(self.path.removeprefix(f"/{self.bucket}"))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def main() -> None:
    port, processes, origin, store, bucket = sys.argv[1:]
    for _ in range(int(processes) - 1):
        if os.fork() == 0:
            break
    Handler.recipe, Handler.bucket = Recipe(origin, store, bucket), bucket
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
