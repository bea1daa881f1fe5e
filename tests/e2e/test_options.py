"""Settings beside the defaults that need a stack of their own."""

from __future__ import annotations

from typing import Any

import pytest

from stack.render import plugin_of

from .conftest import Start, Unique
from .site import PUBLIC_URL, Site, error_code

BODY = b"an object\n"


def test_clients_may_write_the_bucket_in_the_path(start: Start, unique: Unique) -> None:
    site = start(plugin={"bucket": {"exposed": "path"}})
    name = unique("a%20b.jpg")
    site.origin.put(name, BODY)
    miss = site.ask(f"/mirror{name}?v=1")
    assert (miss.status, miss.header("location")) == (302, f"/mirror{name}?v=1")
    assert site.follow(miss).body == BODY
    assert site.stored(name.replace("%20", " ")) == BODY
    for outside in (name, f"/other{name}", "/mirror", "/mirror/", "/mirror//", "/mirror/?list-type=2", "/"):
        answer = site.ask(outside)
        assert (answer.status, answer.outcome) in ((403, None), (404, None)), outside
    assert site.origin.count(name) == 1


def test_a_location_elsewhere(start: Start, unique: Unique) -> None:
    site = start(plugin={"location": "https://cdn.example.com/assets"})
    path = unique()
    site.origin.put(path, BODY)
    miss = site.ask(f"{path}?v=1")
    assert (miss.status, miss.header("location")) == (302, f"https://cdn.example.com/assets{path}?v=1")
    assert site.ask(path).body == BODY


@pytest.mark.parametrize("public_url", [None, PUBLIC_URL])
def test_too_large_an_object_is_the_public_url_s_business_or_502(
    start: Start, unique: Unique, public_url: str | None
) -> None:
    """The object is larger than the limit, or than Envoy takes from an origin that knows no ranges."""
    site = start(plugin={"origin": {"public_url": public_url}, "limits": {"max_object_size": "1KiB"}})
    fits, larger, whole = unique("fits"), unique("larger"), unique("whole")
    site.origin.put(fits, b"x" * 1024)
    site.origin.put(larger, b"x" * 1025)
    site.origin.put(whole, bytes(33 << 20), ranges=False)
    assert site.follow(site.ask(fits)).body == b"x" * 1024
    for path in (larger, whole):
        answer = site.ask(f"{path}?v=1")
        assert answer.outcome == "too_large"
        if public_url:
            assert (answer.status, answer.body) == (302, b"")
            assert answer.header("location") == f"{public_url}{path}"
        else:
            assert (answer.status, error_code(answer)) == (502, "EntityTooLarge")
        assert site.stored(path) is None


def test_headers_for_the_origin_with_a_secret_from_the_environment(start: Start, unique: Unique) -> None:
    def give_token(edge: dict[str, Any]) -> None:
        variables = {"key_values": {"LEGACY_TOKEN": "Bearer s3cret"}}
        plugin_of(edge)["vm_config"]["environment_variables"] = variables

    headers = {"authorization": {"env": "LEGACY_TOKEN"}, "referer": "https://www.example.com/"}
    site = start(plugin={"origin": {"headers": headers}}, edit_edge=give_token)
    path = unique()
    site.origin.put(path, BODY)
    assert site.ask(path, headers=[("authorization", "Bearer mine"), ("referer", "mine")]).status == 302
    (request,) = site.origin.asked(path)
    assert request.header("authorization") == "Bearer s3cret"
    assert request.header("referer") == "https://www.example.com/"
    assert_nowhere_else(site, path, "s3cret")


def assert_nowhere_else(site: Site, path: str, secret: str) -> None:
    assert not [call for call in site.store.requests if secret in str(call.request.headers)]
    assert secret not in str(site.ask(path).headers)
    assert secret not in site.log()


def test_a_denial_of_another_filter_is_not_a_miss(start: Start, unique: Unique) -> None:
    def forbid_everything(edge: dict[str, Any]) -> None:
        """Puts a filter behind this one that lets no request through."""
        (listener,) = edge["static_resources"]["listeners"]
        filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        rbac = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {}},
        }
        filters.insert(-1, {"name": "envoy.filters.http.rbac", "typed_config": rbac})

    site = start(edit_edge=forbid_everything)
    path = unique()
    site.origin.put(path, BODY)
    answer = site.ask(path)
    assert (answer.status, answer.outcome, answer.body) == (403, None, b"RBAC: access denied")
    assert site.origin.count(path) == 0
    assert site.stats("not_the_bucket") == {
        "wasmcustom.mirror_on_miss_requests_total.outcome.not_the_bucket": 1
    }
