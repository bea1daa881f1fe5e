"""versitygw and MinIO, built from Go's modules."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import urlencode
from xml.etree import ElementTree

from stack.children import StackError
from stack.sigv4 import Credentials

from . import installed
from .local import Local
from .policies import LIST, READ, policy


class Versitygw(Local):
    """A gateway to a directory."""

    name = "versitygw"
    title = "versitygw"
    install = "needs Go"
    domain = "s3.localhost"

    @classmethod
    def version(cls) -> str | None:
        module = "github.com/versity/versitygw"
        return installed.of_go("versitygw", module) if installed.program("versitygw") else None

    def start(self, port: int) -> None:
        for each in ("data", "versions", "users"):
            (self.home / each).mkdir()
        self.run(
            [
                installed.HOME / "bin" / "versitygw",
                *("--port", f"127.0.0.1:{port}", "--virtual-domain", self.domain or ""),
                *("--iam-dir", self.home / "users"),
                *("posix", "--versioning-dir", self.home / "versions", self.home / "data"),
            ],
            {"ROOT_ACCESS_KEY": self.owner.access_key, "ROOT_SECRET_KEY": self.owner.secret_key},
        )

    def prepare(self) -> None:
        super().prepare()
        self.blind = self._user("blind")
        self.reading = self._user("reading")
        rights = [(self.blind, READ), (self.reading, READ + LIST)]
        statements = [
            each
            for who, actions in rights
            for each in json.loads(policy(actions, who.access_key))["Statement"]
        ]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
        status, _, body = self.request("PUT", "", self.owner, query={"policy": ""}, body=document)
        if status // 100 != 2:
            raise StackError(f"versitygw refuses the policy: {status} {body.decode()}")

    def _user(self, name: str) -> Credentials:
        user = Credentials(name, f"{name}-of-versitygw")
        admin = [installed.HOME / "bin" / "versitygw", "admin", "--endpoint-url", self.url]
        admin += ["--access", self.owner.access_key, "--secret", self.owner.secret_key]
        new = ["create-user", "--access", user.access_key, "--secret", user.secret_key, "--role", "user"]
        done = subprocess.run([*admin, *new], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"versitygw makes no user: {done.stdout}{done.stderr}")
        return user


class Minio(Local):
    """One drive."""

    name = "minio"
    title = "MinIO"
    install = "needs Go"
    domain = "s3.localhost"

    @classmethod
    def version(cls) -> str | None:
        return installed.of_go("minio", "github.com/minio/minio") if installed.program("minio") else None

    def start(self, port: int) -> None:
        self.run(
            [
                installed.HOME / "bin" / "minio",
                *("server", "--quiet", "--address", f"127.0.0.1:{port}"),
                *("--console-address", "127.0.0.1:0", self.home / "data"),
            ],
            {
                "MINIO_ROOT_USER": self.owner.access_key,
                "MINIO_ROOT_PASSWORD": self.owner.secret_key,
                "MINIO_DOMAIN": self.domain or "",
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
            },
        )

    def prepare(self) -> None:
        super().prepare()
        self.blind = self._session(READ)
        self.reading = self._session(READ + LIST)

    def _session(self, actions: list[str]) -> Credentials:
        """Asks for temporary credentials with a policy of their own."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials as Keys

        question = {"Action": "AssumeRole", "Version": "2011-06-15", "Policy": policy(actions)}
        body = urlencode(question).encode()
        headers = {"host": self.host, "content-type": "application/x-www-form-urlencoded"}
        request = AWSRequest("POST", f"{self.url}/", headers, body)
        keys = Keys(self.owner.access_key, self.owner.secret_key)
        SigV4Auth(keys, "sts", self.region).add_auth(request)
        status, _, answer = self.send("POST", "/", dict(request.headers.items()), body)
        if status != 200:
            raise StackError(f"MinIO gives no session: {status} {answer.decode()}")
        given = ElementTree.fromstring(answer).find("{*}AssumeRoleResult/{*}Credentials")
        fields = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        return Credentials(*(given.findtext(f"{{*}}{field}") or "" for field in fields))
