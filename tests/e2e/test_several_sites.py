"""Two buckets with two origins in one Envoy: nothing of one is stored in the other, or told of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles import ScriptedOrigin
from stack import SeaweedFS, Stack
from stack.sites import Site, add, allow

from .client import Answer, Connection
from .conftest import Unique

FIRST, SECOND = "mirror", "photos"
HOSTS = {FIRST: "files.example.com", SECOND: "photos.example.com"}


class Sites:
    """The two sites of one edge: each has a bucket, and an origin."""

    def __init__(self, stack: Stack, store: SeaweedFS, origins: dict[str, ScriptedOrigin]) -> None:
        self.stack = stack
        self.origins = origins
        self._store = store

    def ask(self, bucket: str, path: str) -> Answer:
        """Asks a site as its clients do, by its host or by its paths, and follows a 302 once."""
        transparent = self.stack.wiring == "transparent"
        answer = self._ask(HOSTS[bucket], f"/{bucket}{path}" if transparent else path)
        return self._ask(HOSTS[bucket], answer.header("location") or "") if answer.status == 302 else answer

    def stored(self, bucket: str, path: str) -> bytes | None:
        store = self._store.of(bucket)
        status, _, body = store.request("GET", path[1:], store.reader)
        return body if status == 200 else None

    def _ask(self, host: str, target: str) -> Answer:
        with Connection(self.stack.url) as connection:
            connection.authority = host
            connection.send("GET", target)
            return connection.receive("GET")


@pytest.fixture(
    scope="module",
    params=[
        ("redirect", HOSTS[SECOND], None),
        ("redirect", HOSTS[SECOND], "photos"),
        ("transparent", None, None),
    ],
    ids=["by host, one table", "by host, a table each", "by path"],
)
def sites(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    wiring, host, vm_id = request.param
    run_dir = tmp_path_factory.mktemp("sites")
    with (
        ScriptedOrigin() as old,
        ScriptedOrigin() as older,
        SeaweedFS(run_dir, FIRST, also=[SECOND]) as store,
    ):
        site = Site("photos", SECOND, older.url, host, vm_id)
        options = {
            "edit_edge": lambda edge: add(edge, site, FIRST),
            "edit_signer": lambda signer: allow(signer, site, FIRST),
            "plugin": {"negative_ttl": "1h"},
            "wiring": wiring,
        }
        with Stack(run_dir, origin=old.url, store=store, **options) as stack:
            yield Sites(stack, store, {FIRST: old, SECOND: older})
            assert "panicked" not in stack.edge.log_path.read_text()


def test_each_site_fills_its_own_bucket_from_its_own_origin(sites: Sites, unique: Unique) -> None:
    path = unique()
    for bucket, origin in sites.origins.items():
        origin.put(path, f"of {bucket}".encode())
    for bucket in (FIRST, SECOND):
        for _ in range(2):
            answer = sites.ask(bucket, path)
            assert (answer.status, answer.body) == (200, f"of {bucket}".encode())
        assert sites.stored(bucket, path) == f"of {bucket}".encode()
        assert sites.origins[bucket].count(path) == 1


def test_what_one_site_lacks_the_other_may_have(sites: Sites, unique: Unique) -> None:
    """A missing key is remembered by all workers, and a stored one too: never for the other site."""
    for lacking, having in ((FIRST, SECOND), (SECOND, FIRST)):
        path = unique(lacking)
        sites.origins[having].put(path, b"an object")
        for _ in range(4):
            assert sites.ask(lacking, path).status == 404
        assert sites.origins[lacking].count(path) == 1
        assert sites.ask(having, path).body == b"an object"
        assert sites.stored(lacking, path) is None
        assert sites.ask(lacking, path).status == 404
