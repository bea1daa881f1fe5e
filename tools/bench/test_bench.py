"""The results of `make bench` are computed right: it is not part of `make test`, so nothing else would
notice.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from stack import StackError
from stack.render import CHECKOUT, named, plugin_of, shipped

from .__main__ import ALL, GROUPS, selected
from .costs import Profile, highest_ratio, profiled
from .distant import (
    FILLING,
    FILLING_IN_LUA,
    SEAWEEDFS,
    STORING,
    cells,
    ideal_rate,
    megabytes,
    title_of_site,
    title_of_site_process,
)
from .document import (
    PAGES,
    better_rows,
    blocks_of,
    cost_rows,
    filled,
    plots,
    rivals_rows,
    site_cost_rows,
    targets_rows,
)
from .edges import BUCKET_HOST, FETCH_HOST, FILTER, connection_manager, empty, to_halves
from .hits import title_of_cost
from .measure import exactly, ratio, ratio_of_rates, ratio_or_more, table, typical, worst
from .misses import title_of_process
from .mix import sizes, write
from .native import Load
from .plot import draw
from .resident import cpu_seconds, idle_seconds, members
from .results import Results, Table
from .shares import OTHER, with_other_origin
from .short import rounds
from .sizing import MISSING, rounded, sizing_rows
from .startup import for_each
from .stats import parsed, wait_until_still
from .stream import Cold
from .unread import READERS, ask_and_read_nothing, bound_of_bodies, statuses


def test_a_ratio_is_the_median_of_the_turns_and_its_spread_theirs() -> None:
    measure = ratio("cost", [2.0, 30.0, 8.0], [1.0, 10.0, 2.0], 2.5)
    assert (measure.value, measure.lowest, measure.highest) == (3.0, 2.0, 4.0)
    assert not measure.ok


def test_a_ratio_of_rates_is_that_of_all_the_work_over_all_the_time() -> None:
    measure = ratio_of_rates("rate", [10.0, 40.0], [20.0, 20.0], 0.8)
    assert measure.value == pytest.approx(0.8)
    assert (measure.lowest, measure.highest) == (0.5, 2.0)
    assert measure.ok
    assert not ratio_of_rates("rate", [7.0], [10.0], 0.8).ok


def test_a_bound_holds_on_its_own_side_only() -> None:
    assert ratio("rate", [9.0], [10.0], 0.8, ">=").ok
    assert not ratio("rate", [7.0], [10.0], 0.8, ">=").ok
    assert worst("memory", [1.0, 96.0], 96.0, "MiB").ok
    assert not worst("memory", [1.0, 96.1], 96.0, "MiB").ok


def test_one_wrong_count_among_right_ones_is_what_counts() -> None:
    assert exactly("GETs", [1, 1], 1, "").ok
    measure = exactly("GETs", [1, 3, 0], 1, "")
    assert measure.value == 3
    assert not measure.ok


def test_a_measure_without_a_target_breaks_nothing() -> None:
    measure = typical("latency", [3.0, 1.0, 2.0], "ms")
    assert measure.ok
    assert measure.as_json()["target"] is None
    assert table([measure]).splitlines()[1].split() == ["latency", "2", "ms", "1", "to", "3"]


def test_results_of_one_bench_replace_its_own_alone(tmp_path: Path) -> None:
    path = tmp_path / "target" / "bench.json"
    results, machine = Results(path), {"cpu": "2", "load": "0.1"}
    results.add("hits", machine, [worst("hit", [1.0], 2.0, "x")])
    results.add("size", machine, [worst("old", [1.0], 2.0, "kB")])
    Results.load(path).add("size", machine, [worst("new", [3.0], 2.0, "kB")])
    hit, size = json.loads(path.read_text())["measures"]
    assert hit["name"] == "hit"
    assert size == {
        "bench": "size",
        "name": "new",
        "value": 3.0,
        "target": "<= 2",
        "unit": "kB",
        "spread": [3.0, 3.0],
        "ok": False,
        "runs": [{"value": 3.0, "ok": False}],
    }


def test_the_last_three_runs_of_a_measure_are_kept_while_the_module_is_the_same(tmp_path: Path) -> None:
    path, machine = tmp_path / "target" / "bench.json", {"load": "0.1"}
    for value in (1.0, 2.0, 9.0, 3.0):
        Results.load(path, "one").add("hits", machine, [worst("hit", [value], 4.0, "x")])
    row = targets_rows(Results.load(path).content)[1]
    assert row == ["hit", "<= 4", "2, 9, 3 x", "3 to 3", "**missed**, 1 of 3"]
    Results.load(path, "other").add("hits", machine, [worst("hit", [1.0], 4.0, "x")])
    assert targets_rows(Results.load(path).content)[1][2:] == ["1 x", "1 to 1", "ok"]


def test_what_an_older_module_gave_is_marked_in_the_table(tmp_path: Path) -> None:
    benches = {"hits": {"at": "2026-01-01", "module": "a"}, "size": {"at": "2026-01-02", "module": "b"}}
    measures = [
        {"bench": name, **worst(name, [1.0], 2.0, "x").as_json(), "runs": [{"value": 1.0, "ok": True}]}
        for name in benches
    ]
    rows = targets_rows({"benches": benches, "measures": measures})
    assert [row[0] for row in rows[1:]] == ["(older) hits", "size"]


def test_results_of_a_bench_that_is_no_more_are_forgotten(tmp_path: Path) -> None:
    results, machine = Results(tmp_path / "target" / "bench.json"), {"load": "0.1"}
    for name in ("hits", "gone"):
        results.add(name, machine, [worst(name, [1.0], 2.0, "x")], tables=[Table(name, [["a"]])])
    results.forget_all_but(["hits"])
    assert [each["name"] for each in results.content["measures"] + results.content["tables"]] == ["hits"] * 2
    assert list(results.content["benches"]) == ["hits"]


def test_benches_are_chosen_by_name_or_group_each_once_and_in_their_order() -> None:
    assert selected(["thin", "far", "size"]) == ["size", "distant", "distant-site", "thin", "distant-matrix"]
    assert selected([]) == selected([*GROUPS, "peers"]) == ALL
    with pytest.raises(KeyError, match="nothing"):
        selected(["size", "nothing"])


def test_every_bench_and_group_stands_in_the_help() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    listed = makefile.partition("## ONLY=miss,far")[2].partition("## tables")[0]
    assert set(re.findall(r"[a-z-]+", listed)) >= {*ALL, *GROUPS}


def test_a_short_bench_makes_a_part_of_the_turns_and_one_at_least() -> None:
    assert [rounds(count, 3) for count in (1, 3, 4, 12)] == [1, 1, 2, 4]
    assert rounds(5, 1) == 5


def test_a_ratio_may_be_excused_by_a_small_difference() -> None:
    excused = ratio_or_more("first byte", [9.0, 9.0], [2.0, 3.0], 1.5, 50, "ms")
    assert (excused.value, excused.ok, excused.aim) == (3.75, True, "<= 1.5, or 50 ms more")
    assert not ratio_or_more("first byte", [90.0], [40.0], 1.5, 50, "ms").ok
    assert ratio_or_more("first byte", [290.0], [240.0], 1.5, 50, "ms").ok


def test_clients_that_wait_for_nothing_but_origin_and_one_miss_bound_the_rate() -> None:
    assert ideal_rate(256, 200, 1.5) == pytest.approx(256 / 0.2015)


def test_refused_misses_count_for_no_rate_and_are_shown() -> None:
    ms = [[float(number) for number in range(100)]]
    alone = load_of([[1.0] * 200])
    assert cells(load_of(ms, {"302": 75, "503": 25}), alone) == ["75", "0.38", "50.0", "99", "75.0%"]


def test_the_sizes_of_a_site_are_the_same_everywhere_and_of_all_magnitudes(tmp_path: Path) -> None:
    drawn = sizes(10_000)
    assert drawn == sizes(10_000)
    assert (min(drawn), max(drawn)) == (1 << 10, 8 << 20)
    assert sorted(drawn)[5_000] == pytest.approx(32 << 10, rel=0.1)
    assert megabytes(100) == pytest.approx(sum(drawn) / 100 / 1e6)
    assert write(tmp_path, 3).read_text().split() == [str(size) for size in sizes(3)]


def test_a_cold_object_that_did_not_come_whole_has_no_figures() -> None:
    cell = Cold(1000, 2)
    right = Load(2.0, 2000, {"200": 2}, [[500.0, 250.0]], 0.0, [[4.0, 2.0]])
    cell.add(right, 1500)
    assert cell.figures() == ["3.0", "0.5", "0.002", "1.50 times"]
    cell.add(replace(right, bytes=1999), 1500)
    assert cell.figures()[0].startswith("answers instead of the object")


def test_the_memory_of_a_worker_is_that_of_the_others_beside_the_first() -> None:
    assert for_each(100.0, 100.0 + 8 * 0.5) == 0.5


def test_the_halves_of_a_fill_go_to_the_bucket_and_never_to_the_filter() -> None:
    for file in ("edge.yaml", "transparent.yaml"):
        edge = yaml.safe_load(shipped(file))
        to_halves("127.0.0.1:4711", edge)
        own, *halves = connection_manager(edge)["route_config"]["virtual_hosts"]
        assert own["name"] == "bucket"
        hosts = {host["name"]: host["routes"][0]["route"] for host in halves}
        assert hosts[BUCKET_HOST]["cluster"] == "bucket"
        assert "internal_redirect_policy" not in hosts[BUCKET_HOST]
        assert "retriable_status_codes" not in hosts[BUCKET_HOST].get("retry_policy", {})
        assert hosts[FETCH_HOST]["cluster"] == "origin"


def test_a_plot_has_every_point_within_its_frame() -> None:
    points = [[1, 0.0, -1.0, 0.5], [1000, 3.0, 2.0, 4.0], [1_000_000, 700.0, 650.0, 800.0]]
    series = {"title": "a < b", "axis": "keys", "lines": {"MiB": points}}
    picture = ElementTree.fromstring(draw(series))
    circles = picture.findall("{*}circle")
    assert len(circles) == len(points)
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert heights == sorted(heights, reverse=True)
    assert all(44 <= height <= 320 - 52 for height in heights)


def test_what_a_peer_cannot_do_is_said_in_its_row() -> None:
    row = {"system": "Lua filter", "size": 1 << 30, "concurrency": 1, "problem": "404"}
    figures = dict.fromkeys(("latency_ms", "per_second", "cpu_seconds_per_1000", "peak_mib"))
    assert rivals_rows([{**row, **figures}])[1] == ["1 GiB", "1", "Lua filter", "404", "", "", ""]


def test_what_takes_long_is_written_out() -> None:
    row = {"system": "redirect", "size": 1 << 30, "concurrency": 16, "problem": None}
    figures = {"latency_ms": [31180.0], "per_second": [0.5], "cpu_seconds_per_1000": [1.0], "peak_mib": [1.0]}
    assert rivals_rows([{**row, **figures}])[1][3:5] == ["31180", "0.5"]


def test_each_table_has_one_place_and_nothing_else_changes_there() -> None:
    pages = [page.read_text() for page in PAGES]
    for name in [*blocks_of(NOTHING), "plots"]:
        assert sum(page.count(f"<!-- {name} -->\n") for page in pages) == 1, name
    page = "a\n<!-- x -->\n\nold\n\n<!-- end -->\nb\n<!-- y -->\n\nkept\n\n<!-- end -->\n"
    assert filled(page, {"x": "new", "y": "", "z": "nowhere"}) == page.replace("old", "new")


def test_the_places_of_the_page_are_all_filled() -> None:
    made = blocks_of(NOTHING)
    for page in PAGES:
        assert set(re.findall(r"^<!-- ([a-z-]+) -->$", page.read_text(), re.MULTILINE)) <= {
            *made,
            "plots",
            "end",
        }


def test_a_plot_that_was_not_measured_again_stays_with_its_commit() -> None:
    old = "![A](performance/a.svg)\nOf commit `1`.\n\n![B](performance/b-c.svg)\nOf commit `1`."
    page = f"<!-- plots -->\n\n{old}\n\n<!-- end -->\n"
    series = [{"name": name, "bench": "x", "title": name, "axis": "y"} for name in ("b-c", "d")]
    made = plots(page, {"series": series, "benches": {"x": {"commit": "2"}}})
    assert made.splitlines()[::3] == [
        "![A](performance/a.svg)",
        "![b-c over y](performance/b-c.svg)",
        "![d over y](performance/d.svg)",
    ]
    assert made.splitlines()[1::3] == ["Of commit `1`.", "Of commit `2`.", "Of commit `2`."]


def test_what_a_size_is_planned_with_comes_from_what_was_measured() -> None:
    measures = [{"name": title_of_cost(f"{name} wiring"), "value": value} for name, value in WIRINGS.items()]
    rows = dict(sizing_rows({"measures": measures})[1:])
    assert rows["hits of 4 KiB a second for each core of the edge"] == "10,000 redirect, 5,000 transparent"
    assert list(rows.values()).count(MISSING) == len(rows) - 1
    assert [rounded(value) for value in (0.0149, 1.04, 9.96, 172.4, 5263.0)] == [
        "0.015",
        "1",
        "10",
        "170",
        "5,300",
    ]


def test_a_peer_is_better_where_it_beats_the_best_of_ours() -> None:
    rows = [
        {
            "system": system,
            "size": 4096,
            "concurrency": 16,
            "per_second": [rate],
            "cpu_seconds_per_1000": [cpu],
            "peak_mib": None,
        }
        for system, rate, cpu in (("serve", 100.0, 2.0), ("redirect", 50.0, 1.0), ("nginx", 110.0, 1.5))
    ]
    found = {row[0]: row[1:] for row in better_rows(rows)}
    assert found["nginx"] == ["4 KiB", "at 16: +10%", "", ""]
    assert found["Lua filter"] == ["", *["nowhere"] * 3]


def test_the_costs_of_a_miss_are_those_of_its_processes() -> None:
    measures = [
        {"name": title_of_process("misses", "SeaweedFS", process), "value": value}
        for process, value in (("edge", 700.4), ("signer", 250.2))
    ]
    assert cost_rows(measures)[1] == ["a miss", "700", "250", "", "", "", "951"]


def test_the_costs_of_a_site_are_those_of_its_fills_and_of_storing_it_after_them() -> None:
    site = title_of_site(SEAWEEDFS)
    measures = [
        {"name": title_of_site_process(site, run, "bucket"), "value": value}
        for run, value in ((FILLING, 1900.0), (FILLING_IN_LUA, 2000.0), (STORING[1], 1800.0))
    ]
    assert [row[3] for row in site_cost_rows(measures)] == ["bucket", "1900", "2000", "1800"]


def test_processor_time_is_that_of_the_whole_process_group() -> None:
    code = "import os\nif os.fork() == 0: os.execvp('sleep', ['sleep', '60'])\nwhile True: pass"
    busy = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while len(members(busy.pid)) < 2 or cpu_seconds(members(busy.pid)) < 0.1:
            assert time.monotonic() < deadline
        assert busy.pid in members(busy.pid)
    finally:
        os.killpg(busy.pid, 9)
        busy.wait()


def test_the_empty_filter_stands_plain_where_ours_has_a_matcher_around_it() -> None:
    """It is the least cost of proxy-wasm: that of a filter with all callbacks."""
    edge = yaml.safe_load(shipped("edge.yaml"))
    ours = plugin_of(edge)
    empty(edge, Path("empty.wasm"))
    config = named(connection_manager(edge)["http_filters"], FILTER)["typed_config"]
    assert config["@type"].endswith(".filters.http.wasm.v3.Wasm")
    assert config["config"] is ours is plugin_of(edge)
    assert ours["vm_config"]["code"]["local"]["filename"] == "empty.wasm"


def test_idle_time_is_no_more_than_there_was() -> None:
    idle = idle_seconds()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 < idle <= uptime * len(os.sched_getaffinity(0)) + 1


def test_what_calls_of_a_number_take_together_is_added_up_before_it_is_ranked() -> None:
    load = load_of([[1.0, 2.0, 9.0], [9.0, 2.0, 1.0], [5.0, 6.0, 4.0]])
    assert load.percentile(50, slice(0, 2)) == 10.0
    assert load.percentile(50, slice(2, 3)) == 5.0
    assert load.p50 == 14.0
    assert load.percentile(99) == 15.0


def test_a_load_with_one_other_answer_among_the_right_ones_is_refused() -> None:
    right = load_of([[1.0], [1.0]], {"404 200": 1})
    assert right.expect(404, 200) is right
    with pytest.raises(StackError, match="instead of 404 200 alone"):
        load_of([[1.0], [1.0]], {"404 200": 8, "404 503": 1}).expect(404, 200)


def test_a_profile_has_what_each_process_computed_while_the_load_ran() -> None:
    def compute() -> Load:
        end = cpu_seconds([os.getpid()]) + 0.02
        while cpu_seconds([os.getpid()]) < end:
            pass
        return load_of([[1.0, 1.0]])

    profile = profiled({"bench": os.getpid()}, compute)
    assert list(profile.for_one) == ["bench", "load"]
    assert profile.used >= 1.02
    assert profile.for_one["bench"] >= 0.02 / 2 * 1e6
    assert profile.for_one["load"] == 0.5e6


def test_what_a_rate_could_be_at_most_leaves_out_the_free_process_and_counts_what_was_idle() -> None:
    misses = Profile(load_of([[1.0] * 10]), {"edge": 6.0, "bucket": 3.0, "load": 1.0}, idle=0.0)
    puts = Profile(load_of([[1.0] * 10]), {"edge": 0.0, "bucket": 2.0, "load": 1.0}, idle=0.0)
    assert highest_ratio(misses, puts, free="edge") == pytest.approx(3 / 4)
    assert highest_ratio(misses, puts, free="none") == pytest.approx(3 / 10)
    # Ten PUTs in a second took three processors, and a fourth had nothing to do.
    idle = Profile(puts.load, puts.cpu, idle=1.0)
    assert highest_ratio(misses, idle, free="edge") == pytest.approx(4 / 4)


def test_the_other_origin_has_a_cluster_of_its_own() -> None:
    edge = yaml.safe_load(shipped("edge.yaml"))
    clusters = edge["static_resources"]["clusters"]
    healthy = json.dumps(named(clusters, "origin"))
    with_other_origin("127.0.0.1:4711", edge)
    assert json.dumps(named(clusters, "origin")) == healthy
    other = named(clusters, OTHER)
    assert other["load_assignment"]["cluster_name"] == OTHER
    assert "4711" in json.dumps(other["load_assignment"])
    assert other["circuit_breakers"] == json.loads(healthy)["circuit_breakers"]


def test_counters_are_read_and_histograms_are_not() -> None:
    text = "cluster.a.rq: 3\nhttp.time: P0(nan,1) P50(nan,2)\nhttp.sizes: No recorded values\nwasm.b: 0\n"
    assert parsed(text) == {"cluster.a.rq": 3, "wasm.b": 0}


def test_a_counter_is_at_rest_only_after_it_has_moved_no_more_for_a_while() -> None:
    values = [1, 2, 2, 2, 5, 5, 5, 5, 5, 6]
    wait_until_still(lambda: values.pop(0))
    assert values == [6]


def test_a_client_that_reads_nothing_shows_its_status_all_the_same() -> None:
    answer = b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as clients:
        client = ask_and_read_nothing(clients, f"http://127.0.0.1:{server.getsockname()[1]}/a/b")
        with server.accept()[0] as connection:
            assert connection.recv(1000).startswith(b"GET /a/b HTTP/1.1\r\n")
            connection.sendall(answer)
            assert statuses([client]) == statuses([client]) == {"302": 1}
        assert client.recv(1000) == answer


def test_bodies_that_nothing_counts_would_break_their_bound() -> None:
    for memory in (12, 128):
        assert bound_of_bodies(memory) < READERS * 6


NOTHING: dict[str, Any] = {
    "machine": {},
    "benches": {"size": {"at": "", "module": "", "commit": ""}},
    "measures": [],
}
"""Results without a figure."""

WIRINGS = {"redirect": 100.0, "transparent": 200.0}
"""Microseconds of a hit."""


def load_of(ms: list[list[float]], statuses: dict[str, int] | None = None) -> Load:
    """Makes a load that took a second, all of it computing."""
    return Load(seconds=1.0, bytes=0, statuses=statuses or {}, ms=ms, cpu_seconds=1.0)
