"""Sites that may read and others that may not, by the example of docs/clients.md."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

from clients.proxies import nginx_before
from stack import headers
from stack.render import CHECKOUT, Wiring

from .caches import cache_of
from .client import Answer, ask
from .conftest import Start, Unique
from .site import Site, Wired

BODY = b"an object\n" * 4000
SHOP, BLOG, EVIL = "https://shop.example.com", "https://blog.example.org", "https://evil.example"
CACHED = {"Cache-Control": "public, max-age=3600", "Content-Type": "text/plain"}


def examples() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Reads the filter and the headers of the page."""
    text = (CHECKOUT / "docs" / "clients.md").read_text()
    name, added = (yaml.safe_load(found) for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    return name[0], added


def name_sites(edge: dict[str, Any]) -> None:
    """Does with an edge what the page says."""
    remember, own = examples()
    manager = edge["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    filters = manager["http_filters"]
    (any_site,) = (each for each in filters if each["name"] == "any-site")
    filters.insert(filters.index(any_site), remember)
    any_site["typed_config"]["mutations"]["response_mutations"] = [{"append": each} for each in own]
    for mapper in manager["local_reply_config"]["mappers"]:
        added = mapper["headers_to_add"]
        kept = [each for each in added if not each["header"]["key"].startswith("access-control-")]
        assert len(kept) == len(added) - 2
        mapper["headers_to_add"] = kept + own


def name_sites_and_keep(edge: dict[str, Any]) -> None:
    """Has a transparent edge keep `Origin`, too, as `make headers NAMES=origin` does."""
    name_sites(edge)
    file = "transparent.yaml"
    shipped, longer = (json.dumps(headers.expression(file, names)) for names in ((), ("origin",)))
    edge.update(json.loads(json.dumps(edge).replace(shipped, longer)))


@pytest.fixture(params=["redirect", "transparent"])
def wired(request: pytest.FixtureRequest, start: Start) -> Iterator[Wired]:
    wiring: Wiring = request.param
    site: Site = start(wiring=wiring, edit_edge=name_sites if wiring == "redirect" else name_sites_and_keep)
    yield Wired(site, "" if wiring == "redirect" else f"/{site.store.bucket}")


def assert_is_of(answer: Answer, page: str | None) -> None:
    """Checks that a page of this site may read the answer, or none."""
    allowed = page if page in (SHOP, BLOG) else None
    assert answer.header("access-control-allow-origin") == allowed, answer
    assert "origin" in (answer.header("vary") or "").lower()
    assert answer.header("access-control-allow-credentials") == "true"


def from_site(page: str | None) -> list[tuple[str, str]]:
    # With credentials, as a page may send them to a site that names it.
    return [("origin", page), ("cookie", "session=1")] if page else []


def test_each_answer_names_the_site_that_asks_if_it_is_one_of_ours(wired: Wired, unique: Unique) -> None:
    for nth, page in enumerate((SHOP, BLOG, EVIL, None)):
        cold, forbidden, small = unique(f"cold{nth}"), unique(f"forbidden{nth}"), unique(f"a%5Cb{nth}")
        wired.site.origin.put(cold, BODY, CACHED)
        wired.site.origin.put(small.replace("%5C", "/"), b"small", CACHED)
        wired.site.store.put(forbidden[1:], BODY, age=3600)
        wired.site.store.forbid(forbidden[1:])
        seen = []
        for path in (cold, cold, unique(f"missing{nth}"), forbidden, small, "/a/../b", "/a?versionId=1"):
            answer = wired.ask(path, headers=from_site(page))
            assert_is_of(answer, page)
            seen.append(answer.status)
        assert seen == [200 if wired.follows else 302, 200, 404, 403, 200, 400, 501]
        asked = [*from_site(page), ("access-control-request-method", "GET")]
        if page:
            assert_is_of(wired.ask(cold, "OPTIONS", asked), page)


@pytest.mark.parametrize("pages", [*permutations([SHOP, BLOG])])
def test_two_sites_get_their_own_answers_through_a_cache(
    wired: Wired, unique: Unique, cache: str, pages: tuple[str, str]
) -> None:
    path = unique()
    wired.site.origin.put(path, BODY, CACHED)
    asked = []
    for turn in range(3):
        for page in pages:
            answer = ask(cache, wired.bucket + path, headers=from_site(page))
            assert_is_of(answer, page)
            assert answer.status in (200, 302) and (turn == 0 or answer.body == BODY)
        asked.append(len(wired.site.store.calls("GetObject", path[1:])))
    # Envoy's cache keeps nothing that varies.
    assert asked[2] == asked[1] or not shutil.which("nginx")


@pytest.fixture
def cache(wired: Wired, tmp_path: Path) -> Iterator[str]:
    """Gives the URL of a cache in front of the edge: nginx, or Envoy where that is not installed."""
    if shutil.which("nginx"):
        with nginx_before(wired.site.stack.url, tmp_path, cache=True) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        with cache_of(wired.site.stack.url, tmp_path) as url:
            yield url
