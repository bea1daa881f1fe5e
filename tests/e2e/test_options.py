"""What the configuration can say beside the defaults, where that takes a stack of its own."""

from __future__ import annotations

from typing import Any

from .conftest import Start, Unique
from .site import Site, plugin_of

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


def test_a_location_elsewhere_and_a_limit_on_sizes(start: Start, unique: Unique) -> None:
    limits = {"max_object_size": "1KiB"}
    site = start(plugin={"location": "https://cdn.example.com/assets", "limits": limits})
    path, larger = f"/{unique()}", unique("larger")
    site.origin.put(path, b"x" * 1024)
    site.origin.put(larger, b"x" * 1025)
    miss = site.ask(f"{path}?v=1")
    assert (miss.status, miss.header("location")) == (302, f"https://cdn.example.com/assets{path}?v=1")
    assert site.ask(path).body == b"x" * 1024
    refused = site.ask(larger)
    assert (refused.status, refused.outcome, site.stored(larger)) == (502, "too_large", None)


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
    assert secret not in site.stack.edge.log_path.read_text()
