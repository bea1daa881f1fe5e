"""A caching proxy in front of an edge: Envoy's own filter, in an Envoy of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack.envoy import Envoy


@contextmanager
def cache_of(edge: str, run_dir: Path) -> Iterator[str]:
    envoy = Envoy("cache", caching_envoy(edge), run_dir, workers=1)
    envoy.start()
    try:
        yield envoy.url
    finally:
        envoy.stop()


def caching_envoy(edge: str) -> dict[str, Any]:
    """Makes the configuration of an Envoy with a cache, which asks an edge."""
    at = urlsplit(edge)
    types, filters = "type.googleapis.com/envoy.extensions", "envoy.extensions.filters"
    simple = {"@type": f"{types}.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"}
    cache = {"@type": f"{types}.filters.http.cache.v3.CacheConfig", "typed_config": simple}
    router = {"@type": f"{types}.filters.http.router.v3.Router"}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "edge"}}]
    manager = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "cache",
        "http_filters": [
            {"name": f"{filters}.http.cache", "typed_config": cache},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "route_config": {"virtual_hosts": [{"name": "edge", "domains": ["*"], "routes": routes}]},
    }
    endpoint = {"address": {"socket_address": {"address": at.hostname, "port_value": at.port}}}
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "cache",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "edge",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "edge",
                        "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
                    },
                }
            ],
        },
    }
