"""The settings of an origin in an edge of this machine, as start.sh has them from ORIGIN_AUTH and others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Auth = Literal["authorization", "gcs", "s3", "sas"]

EXAMPLE_DIRECTORY = "/etc/mirror-on-miss-origin"
EXAMPLE_REGION = "eu-central-1"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}


@dataclass(frozen=True)
class OriginAccess:
    """The settings of one origin beside its URL."""

    auth: Auth | None = None
    """What it demands of its readers."""
    directory: Path | None = None
    """The directory of its credential."""
    region: str = EXAMPLE_REGION
    strict_dns: bool = False
    """Each address of its name is a host of its own."""
    http2: bool = False
    """It speaks nothing but HTTP/2."""

    def settings(self) -> dict[str, Any]:
        """Returns what the plugin's configuration says of it."""
        sas = {"parameters": {"env": "ORIGIN_SAS"}} if self.auth == "sas" else {}
        return {**sas, **({"http2": True} if self.http2 else {})}

    def vm(self, snippet: str) -> dict[str, Any]:
        """Returns what the module's `vm_config` says of it."""
        return yaml.safe_load(snippet) if self.auth == "sas" else {}

    def adapt(self, cluster: dict[str, Any], snippet: str) -> None:
        """Changes its cluster. `snippet` is the file of its kind."""
        options = cluster["typed_extension_protocol_options"][OPTIONS]
        if self.auth not in (None, "sas"):
            text = snippet.replace(EXAMPLE_REGION, self.region)
            if self.directory:
                text = text.replace(EXAMPLE_DIRECTORY, str(self.directory.resolve()))
            options["http_filters"][-1:-1] = yaml.safe_load(text)
        if self.strict_dns:
            cluster["type"] = "STRICT_DNS"
            if "retry_policy" in options:
                # Not in Envoy 1.36.
                options["retry_policy"].update(
                    host_selection_retry_max_attempts=3, retry_host_predicate=[PREVIOUS_HOSTS]
                )
        if self.http2:
            options["explicit_http_config"] = {"http2_protocol_options": {}}


def authorization(value: str) -> str:
    """Makes the file with which an origin gets an `Authorization` header."""
    secret = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "origin",
        "generic_secret": {"secret": {"inline_string": value}},
    }
    return json.dumps({"resources": [secret]})
