"""A stand-in for MinIO: the strict bucket, with the users and the rights that `mc` sets (see `mc`).

The calls of `mc` go to a port of their own, as JSON. This proves nothing about MinIO's own admin API, but the
policies that the compose file installs decide here too, and give each of its two users its rights.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from doubles.s3.errors import access_denied
from doubles.strict_bucket import Call, StrictBucket

ADMIN_PORT = 9002

RIGHTS = {
    "s3:AbortMultipartUpload": {"AbortMultipartUpload"},
    "s3:GetObject": {"GetObject", "HeadObject"},
    "s3:ListBucket": {"ListObjects"},
    "s3:PutObject": {"CompleteMultipartUpload", "CreateMultipartUpload", "PutObject", "UploadPart"},
}
"""The operations that an action allows ("Actions, resources, and condition keys for Amazon S3")."""


class Minio(StrictBucket):
    bind = ("0.0.0.0", 9000)
    authority = "store:9000"

    def __init__(self) -> None:
        super().__init__(bucket="", region=os.environ.get("AWS_REGION", "eu-west-1"))
        self._root = {"user": os.environ["MINIO_ROOT_USER"], "password": os.environ["MINIO_ROOT_PASSWORD"]}
        self._policies: dict[str, Any] = {}
        self._attached: dict[str, str] = {}
        self._secrets.clear()
        self._listers.clear()

    def administrate(self, asked: dict[str, Any]) -> str | None:
        """Carries out one call of `mc`. Returns its error."""
        if asked["root"] != self._root:
            return "The Access Key Id you provided does not exist in our records."
        call, arguments = asked["call"], asked["arguments"]
        if call == "mb":
            (self.bucket,) = arguments
        elif call == "admin policy create":
            name, policy = arguments
            self._policies[name] = json.loads(policy)
        elif call == "admin user add":
            access_key, secret_key = arguments
            self._secrets[access_key] = secret_key
        elif call == "admin policy attach":
            return self._attach(*arguments)
        return None

    def _attach(self, name: str, access_key: str) -> str | None:
        if self._attached.get(access_key) == name:
            return "The specified policy change is already in effect."
        self._attached[access_key] = name
        if "ListObjects" in self._rights(access_key):
            self._listers.add(access_key)
        return None

    def _authorize(self, call: Call) -> None:
        if call.operation not in self._rights(call.access_key):
            raise access_denied()

    def _rights(self, access_key: str | None) -> set[str]:
        policy = self._policies.get(self._attached.get(access_key or "", ""), {"Statement": []})
        rights: set[str] = set()
        for statement in policy["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            for action in actions:
                bucket_only = RIGHTS[action] == {"ListObjects"}
                if statement["Resource"] == f"arn:aws:s3:::{self.bucket}{'' if bucket_only else '/*'}":
                    rights |= RIGHTS[action]
        return rights


def main() -> None:
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    tempfile.TemporaryFile(dir="/data").close()  # It has objects to write.
    with Minio() as minio:
        server = ThreadingHTTPServer(("0.0.0.0", ADMIN_PORT), _handler(minio))
        Thread(target=server.serve_forever, daemon=True).start()
        signal.sigwait(ends)


def _handler(minio: Minio) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._answer(minio.administrate(asked))

        def _answer(self, problem: str | None) -> None:
            body = (problem or "").encode()
            self.send_response(400 if problem else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


if __name__ == "__main__":
    main()
