"""The recipe of a CloudFront origin group that fails over to a Lambda function, with stand-ins for both.

CloudFront is an Envoy that asks the function after the bucket's 403 or 404. The function is warm.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from stack import Child
from stack.children import free_ports
from stack.render import CHECKOUT, named

from ..edges import object_route
from ..native import Upstream


class Function:
    """A function with as many processes as Envoy has workers, with threads: Lambda has an instance for each
    request.
    """

    def __init__(self, run_dir: Path, upstream: Upstream, workers: int) -> None:
        (self.port,) = free_ports(1)
        self._dir = run_dir
        self._argv = [
            sys.executable,
            *("-m", "bench.peers.lambda_function"),
            *(str(self.port), str(workers)),
            *(upstream.origin, upstream.store.url, upstream.store.bucket),
        ]

    def __enter__(self) -> Function:
        self._dir.mkdir(parents=True, exist_ok=True)
        log = self._dir / "function.log"
        self.child = Child("the function", self._argv, cwd=CHECKOUT / "tools", stderr=log)
        self.child.wait_until(self._listens, timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop(grace=0)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


PREVIOUS_PRIORITIES = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"


def fail_over(port: int, edge: dict[str, Any]) -> None:
    """Sends a 403 or 404 of the bucket to the function, once, at once."""
    object_route(edge)["route"]["retry_policy"] = {
        "retry_on": "retriable-status-codes",
        "retriable_status_codes": [403, 404],
        "num_retries": 1,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": f"type.googleapis.com/{PREVIOUS_PRIORITIES}",
                "update_frequency": 1,
            },
        },
    }
    bucket = named(edge["static_resources"]["clusters"], "bucket")
    # Only static addresses have priorities of their own.
    bucket["type"] = "STATIC"
    # By default only three requests may be in their second try at once.
    for thresholds in bucket["circuit_breakers"]["thresholds"]:
        thresholds["max_retries"] = thresholds["max_requests"]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    function = {"priority": 1, "lb_endpoints": [{"endpoint": {"address": address}}]}
    bucket["load_assignment"]["endpoints"].append(function)
