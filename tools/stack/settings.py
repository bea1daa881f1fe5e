"""The variables of `make run`, parsed once: a Settings cannot be wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import SplitResult, urlsplit

from .kinds import CONDITIONS, STYLES, Kind, kinds, patch
from .origins import OriginAccess
from .render import Wiring, virtual_hosted
from .sigv4 import Credentials
from .store import S3Store

OLDEST_ENVOY = (1, 36)
"""The oldest version that was tried, with the changes of envoy/configuration/envoy-1.36.sed."""


@dataclass(frozen=True)
class Settings:
    origin: str | None
    """None: the sample origin."""
    wiring: Wiring
    port: int
    bucket: str
    workers: int
    plugin: dict[str, Any]
    """The fields of the plugin's configuration that STORE_KIND and its kin, CONFIG and EXPOSED change."""
    store: S3Store | None
    """None: the embedded SeaweedFS."""
    data: Path | None
    """The directory that keeps what the embedded SeaweedFS holds, and the logs. None: logs alone."""
    ca_file: Path | None = None
    """Authorities of the certificates of bucket and origin. None: those of this machine."""
    access: OriginAccess = OriginAccess()

    @property
    def exposes_path(self) -> bool:
        """Tells if clients write /BUCKET/KEY."""
        bucket = self.plugin.get("bucket")
        exposed = bucket.get("exposed") if isinstance(bucket, dict) else None
        return (exposed or ("path" if self.wiring == "transparent" else "root")) == "path"


class SettingsError(Exception):
    """Every variable that is wrong, in a line each, with the allowed values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def parse(environment: Mapping[str, str]) -> Settings:
    """Parses the variables. An empty one counts as not set, as with any other program that make starts."""
    reader = _Reader(environment)
    bucket, plugin = reader.bucket(), reader.plugin()
    settings = Settings(
        origin=reader.origin(),
        wiring="transparent" if reader.choice("WIRING", get_args(Wiring)) == "transparent" else "redirect",
        port=reader.integer("PORT", 10000, range(1, 65536)),
        bucket=bucket,
        workers=reader.integer("WORKERS", 2, range(1, 65)),
        plugin=plugin,
        store=reader.store(bucket, virtual_hosted=virtual_hosted(plugin)),
        access=OriginAccess(
            strict_dns=reader.choice("ORIGIN_DNS", ("logical", "strict")) == "strict",
            http2=reader.choice("ORIGIN_HTTP", ("1", "2")) == "2",
        ),
        data=reader.data(),
        ca_file=reader.ca_file(),
    )
    reader.envoy_version()
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def origin(self) -> str | None:
        value = self._get("ORIGIN")
        if value is None:
            return None
        url = _http_url(value)
        segments = url.path.split("/") if url else []
        if url is None or "." in segments or ".." in segments:
            self._wrong("ORIGIN", value, "http://host[:port][/path] or https://host[:port][/path]")
        return value

    def data(self) -> Path | None:
        value = self._get("DATA")
        if value and Path(value).exists() and not Path(value).is_dir():
            self._wrong("DATA", value, "a directory, also one that is made then")
        return Path(value).absolute() if value else None

    def ca_file(self) -> Path | None:
        value = self._get("CA_FILE")
        if value and not Path(value).is_file():
            self._wrong("CA_FILE", value, "a file of certificates in PEM")
        return Path(value).absolute() if value else None

    def bucket(self) -> str:
        value = self._get("BUCKET") or "mirror"
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
            self._wrong("BUCKET", value, "3 to 63 of a-z, 0-9, . and -, with a letter or digit at both ends")
        return value

    def plugin(self) -> dict[str, Any]:
        config = self._config()
        exposed = self.choice("EXPOSED", ("root", "path"))
        # The later goes before the earlier: what the kind means, CONFIG, and EXPOSED.
        needs = self._needs()
        if needs or exposed:
            bucket = config.setdefault("bucket", {})
            if isinstance(bucket, dict):  # Else the plugin itself has something to say about CONFIG.
                config["bucket"] = {**needs, **bucket, **({"exposed": exposed} if exposed else {})}
        if self.choice("ON_5XX", ("pass", "origin")) == "origin":
            # CONFIG's own rules say themselves which of them it is for.
            config.setdefault("rules", [{"on_5xx": "origin"}])
        return config

    def _needs(self) -> dict[str, Any]:
        """Returns what the store needs of `bucket`: by its kind, where no variable says otherwise."""
        name = self.choice("STORE_KIND", tuple(kinds()))
        kind = kinds().get(name or "aws", Kind("true", "path"))
        return patch(
            self.choice("IF_NONE_MATCH", CONDITIONS) or kind.if_none_match,
            self.choice("ADDRESSING_STYLE", STYLES) or kind.addressing_style,
        )

    def store(self, bucket: str, *, virtual_hosted: bool) -> S3Store | None:
        """Returns an existing server. Without S3_ENDPOINT the AWS_* variables, which many have set, mean
        nothing.
        """
        endpoint = self._get("S3_ENDPOINT")
        if endpoint is None:
            return None
        url = _http_url(endpoint)
        if url is None or url.path not in ("", "/"):
            self._wrong("S3_ENDPOINT", endpoint, "http://host[:port] or https://host[:port]")
        credentials = Credentials(
            self._required("AWS_ACCESS_KEY_ID"),
            self._required("AWS_SECRET_ACCESS_KEY"),
            self._get("AWS_SESSION_TOKEN") or "",
        )
        return S3Store(
            url=endpoint.rstrip("/"),
            region=self._get("AWS_REGION") or "us-east-1",
            bucket=bucket,
            reader=credentials,
            writer=credentials,
            virtual_hosted=virtual_hosted,
        )

    def envoy_version(self) -> None:
        """Checks the version only: make has installed it, and `envoy.binary` finds it by the same
        variable.
        """
        value = self._get("ENVOY_VERSION")
        numbers = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(\.post\d+)?", value or "")
        if value and (not numbers or (int(numbers[1]), int(numbers[2])) < OLDEST_ENVOY):
            self._wrong("ENVOY_VERSION", value, "1.36.2 or later, as far as PyPI has it")

    def integer(self, name: str, default: int, allowed: range) -> int:
        value = self._get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) not in allowed:
            self._wrong(name, value, f"{allowed.start} to {allowed.stop - 1}")
            return default
        return int(value)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        value = self._get(name)
        if value is not None and value not in allowed:
            self._wrong(name, value, ", ".join(allowed[:-1]) + " or " + allowed[-1])
        return value

    def _config(self) -> dict[str, Any]:
        value = self._get("CONFIG")
        if value is None:
            return {}
        try:
            patch = json.loads(Path(value).read_text(encoding="utf-8"))
        except OSError as error:
            self.problems.append(f"CONFIG={value}: {error.strerror}; allowed is a JSON file")
        except ValueError as error:
            self.problems.append(f"CONFIG={value}: not JSON: {error}")
        else:
            if isinstance(patch, dict):
                return patch
            self.problems.append(
                f"CONFIG={value}: allowed is a JSON object, merged over the plugin's configuration"
            )
        return {}

    def _required(self, name: str) -> str:
        value = self._get(name)
        if value is None:
            self.problems.append(
                f"{name} is not set, but S3_ENDPOINT is: the edge and the signer need credentials"
            )
        return value or ""

    def _wrong(self, name: str, value: str, allowed: str) -> None:
        self.problems.append(f"{name}={value} is not allowed; allowed is {allowed}")

    def _get(self, name: str) -> str | None:
        return self._environment.get(name) or None


def _http_url(value: str) -> SplitResult | None:
    """Returns None unless it is an absolute http or https URL without credentials, query or fragment."""
    try:
        url = urlsplit(value)
        acceptable = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # The port is not a number, or an IPv6 address has no closing bracket.
        return None
    return None if not acceptable or "@" in url.netloc or set("?# ") & set(value) else url
