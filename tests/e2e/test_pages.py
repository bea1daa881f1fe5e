"""Pages of a site with `bucket.index`, as S3's website hosting serves them: `/`, `/dir/`, `/dir`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from doubles import ScriptedOrigin, StrictBucket, replies
from stack.render import Wiring

from .conftest import Unique
from .site import Wired, running

PAGE = b"<p>a page</p>\n"


@pytest.fixture(scope="module", params=get_args(Wiring))
def wired(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin
) -> Iterator[Wired]:
    run_dir = tmp_path_factory.mktemp("pages")
    options = {"plugin": {"bucket": {"index": "index.html"}}, "wiring": request.param, "workers": 1}
    with running(run_dir, origin, StrictBucket(), **options) as site:
        yield Wired(site, "/mirror" if request.param == "transparent" else "")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_path_without_its_slash_leads_to_the_page_of_the_origin(
    wired: Wired, unique: Unique, method: str
) -> None:
    folder = unique("blog")
    wired.site.origin.put(f"{folder}/", PAGE, {"Content-Type": "text/html"})
    answer = wired.ask(f"{folder}?v=1", method)
    assert (answer.status, answer.header("location")) == (302, f"{wired.bucket}{folder}/?v=1")
    assert answer.header("cache-control") == "no-store"
    page = wired.site.ask(answer.header("location") or "")
    assert (page.status, page.body, page.header("content-type")) == (200, PAGE, "text/html")
    assert wired.site.stored(f"{folder}/index.html") == PAGE
    assert wired.site.stored(folder) is None


def test_a_path_without_its_slash_leads_to_the_page_of_the_bucket(wired: Wired, unique: Unique) -> None:
    folder = unique("docs")
    wired.site.store.put(f"{folder[1:]}/index.html", PAGE)
    answer = wired.ask(folder)
    assert (answer.status, answer.header("location")) == (302, f"{wired.bucket}{folder}/")
    assert wired.site.ask(answer.header("location") or "").body == PAGE


def test_an_object_comes_before_a_page_of_its_name(wired: Wired, unique: Unique) -> None:
    both = unique("both")
    wired.site.origin.put(both, b"an object")
    wired.site.origin.put(f"{both}/", PAGE)
    assert wired.read(both).body == b"an object"


def test_what_is_neither_is_not_there(wired: Wired, unique: Unique) -> None:
    for _ in range(2):
        answer = wired.ask(unique("nothing"))
        assert (answer.status, answer.outcome) == (404, "not_found")
    assert wired.site.origin.count(unique("nothing")) == 1
    assert wired.site.origin.count(unique("nothing") + "/") == 1


def test_the_root_is_a_page(wired: Wired) -> None:
    wired.site.origin.put("/", PAGE)
    answer = wired.read("/")
    assert (answer.status, answer.body) == (200, PAGE)
    assert wired.site.stored("/index.html") == PAGE


@pytest.mark.parametrize(("virtual_hosted", "exposed"), [(False, "root"), (True, "path"), (True, "root")])
def test_a_redirect_names_the_path_that_clients_write(
    tmp_path: Path, origin: ScriptedOrigin, unique: Unique, virtual_hosted: bool, exposed: str
) -> None:
    """In the transparent wiring, where the filter is asked for the bucket's own path."""
    bucket = {"index": "index.html", "exposed": exposed, **({"path_prefix": None} if virtual_hosted else {})}
    store = StrictBucket(virtual_hosted=virtual_hosted)
    under = "/mirror" if exposed == "path" else ""
    with running(tmp_path, origin, store, wiring="transparent", plugin={"bucket": bucket}) as site:
        folder, moved, host, small = unique("blog"), unique("moved"), unique("host"), unique()
        origin.put(f"{folder}/", PAGE)
        origin.script(moved, replies.status(301, {"Location": f"{folder}/"}))
        origin.script(host, replies.status(301, {"Location": "/%2Fevil.example/x"}))
        origin.put(small, PAGE)
        for asked, location in [
            (f"{folder}?v=1", f"{under}{folder}/?v=1"),
            (moved, f"{under}{folder}/"),
            (host, f"{under or '/.'}//evil.example/x"),
        ]:
            for method in ("GET", "HEAD"):
                answer = site.ask(under + asked, method)
                assert answer.header("location") == location, (asked, answer)
        assert site.ask(f"{under}{folder}/").body == PAGE
        assert site.ask(under + small).body == PAGE
