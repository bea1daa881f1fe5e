"""A bucket on an S3-compatible server that runs already, and requests to it without the stack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from ssl import SSLCertVerificationError
from urllib.parse import quote, urlencode, urlsplit

from .children import StackError
from .sigv4 import Credentials, sign

TIMEOUT = 30
"""The seconds that the server may take for one answer."""

Answer = tuple[int, HTTPMessage, bytes]
"""Status, headers, body."""


@dataclass
class S3Store:
    url: str
    """`http://host:port` or `https://host`, without a path."""
    region: str
    bucket: str
    reader: Credentials
    """The edge's credentials, for reading."""
    writer: Credentials
    """The signer's credentials, for writing."""
    virtual_hosted: bool = False
    """The bucket is a part of the host, and no part of the path."""

    def request(
        self,
        method: str,
        key: str,
        credentials: Credentials,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Sends one signed request for an object, or for the bucket if the key is empty."""
        base = [] if self.virtual_hosted else [self.bucket]
        target = "/" + quote("/".join([*base, key] if key else base))
        if query:
            target += "?" + urlencode(query, quote_via=quote)
        headers = {**(headers or {}), "host": self.host}
        url = f"{urlsplit(self.url).scheme}://{self.host}{target}"
        signed = sign(method, url, headers, body, credentials, self.region)
        return self.send(method, target, signed, body)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Sends one request, exactly as given."""
        connect = HTTPSConnection if self.url.startswith("https:") else HTTPConnection
        with closing(connect(self.host, timeout=TIMEOUT)) as connection:
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def check(self) -> None:
        """Raises StackError if the store does not answer, or knows neither the bucket nor the credentials."""
        try:
            status, _, body = self.request("GET", "is-this-bucket-there", self.writer)
        except SSLCertVerificationError as error:
            raise StackError(
                f"{self.url} has a certificate that is not trusted ({error.verify_message}): "
                "name a file with the authority that signed it in CA_FILE"
            ) from error
        except (OSError, HTTPException) as error:
            raise StackError(f"{self.url} does not answer: {error}") from error
        code = re.search(rb"<Code>(\w+)</Code>", body)
        # S3 answers AccessDenied for a missing key to a reader that may not list the bucket.
        if status != 200 and (code is None or code[1] not in (b"NoSuchKey", b"AccessDenied")):
            said = code[1].decode() if code else "no S3 error code"
            raise StackError(f"{self.url} does not serve the bucket {self.bucket}: {status} {said}")

    @property
    def host(self) -> str:
        host = urlsplit(self.url).netloc
        return f"{self.bucket}.{host}" if self.virtual_hosted else host
