"""`mirror-on-miss warm` through a real edge: it moves what nobody asks for, and goes on after Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from .command import command
from .conftest import Start, Unique
from .site import Site, eventually

BODY = b"an object that nobody asks for\n"
INTERRUPTED = 130


@pytest.fixture
def paths(seaweed: Site, unique: Unique) -> list[str]:
    """Puts objects to the origin alone, and returns their paths."""
    made = [unique(f"file {number}.txt".replace(" ", "%20")) for number in range(60)]
    for path in made:
        seaweed.origin.put(path, BODY, {"Content-Type": "text/plain"})
    return made


def warm(site: Site, directory: Path, *options: str, lines: list[str] | None = None) -> subprocess.Popen[str]:
    """Starts the command in a directory of its own, with a list on its standard input if there is one."""
    process = subprocess.Popen(
        [command(), "warm", *options, site.stack.url + "/", *([] if lines is not None else ["list"])],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if lines is not None:
        assert process.stdin
        process.stdin.write("\n".join(lines))
        process.stdin.close()
        process.stdin = None
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def test_every_key_of_a_list_is_in_the_bucket_afterwards_and_crosses_once(
    seaweed: Site, paths: list[str], tmp_path: Path
) -> None:
    keys = [path[1:].replace("%20", " ") for path in paths]  # As `rclone lsf` prints them.
    code, said = end(warm(seaweed, tmp_path, lines=[*keys, "a-directory/"]))
    assert (code, said) == (0, "60 keys: 60 in the bucket, 0 failed\n")
    assert {seaweed.stored(path.replace("%20", " ")) for path in paths} == {BODY}
    assert {seaweed.origin.count(path) for path in paths} == {1}
    assert list(tmp_path.iterdir()) == [], "nothing is left to go on from, and nothing failed"


def test_what_fails_is_told_with_its_reason_and_is_a_list_for_the_next_run(
    seaweed: Site, unique: Unique, tmp_path: Path
) -> None:
    there, missing = unique("there.txt"), unique("missing.txt")
    seaweed.origin.put(there, BODY)
    (tmp_path / "list").write_text(
        f"2026-11-25 18:26:48   31 {there[1:]}\nno line of aws\n2026-11-25 18:26:48 7 {missing[1:]}\n"
    )
    code, said = end(warm(seaweed, tmp_path))
    assert (code, said) == (1, "3 keys: 1 in the bucket, 2 failed, see warm-failed.tsv\n")
    failed = (tmp_path / "warm-failed.tsv").read_text().splitlines()
    assert sorted(failed[1:]) == sorted(
        [
            f"{missing}\t404\tnot_found\tthe origin has no such object",
            "no line of aws\t0\tunreadable\ta line that names no key",
        ]
    )
    (tmp_path / "warm-failed.tsv").rename(tmp_path / "list")
    seaweed.origin.put(missing, BODY)
    eventually(lambda: end(warm(seaweed, tmp_path))[0], 0)  # The 404 is remembered for a while.
    assert seaweed.stored(missing) == BODY


def test_a_key_that_crossed_and_was_deleted_a_moment_ago_is_asked_for_until_it_crosses_again(
    start: Start, unique: Unique, tmp_path: Path
) -> None:
    site, path = start(plugin={"loop_window": "2s"}), unique()
    site.origin.put(path, BODY)
    assert site.ask(path).outcome == "stored"
    site.store.delete(path[1:])
    assert end(warm(site, tmp_path, lines=[path[1:]])) == (0, "1 key: 1 in the bucket, 0 failed\n")
    assert (site.stored(path), site.origin.count(path)) == (BODY, 2)


def test_an_interrupted_run_goes_on_and_asks_the_origin_for_nothing_twice(
    seaweed: Site, paths: list[str], tmp_path: Path
) -> None:
    (tmp_path / "list").write_text("\n".join(paths))
    process = warm(seaweed, tmp_path, "--concurrency", "2", "--rate", "20")
    eventually(lambda: seaweed.origin.count(paths[9]), 1)
    process.send_signal(signal.SIGINT)
    code, said = end(process)
    assert code == INTERRUPTED
    assert "the same command goes on from here" in said
    state = json.loads((tmp_path / "warm-state.json").read_text())
    assert 0 < state["begun"] < len(paths)
    assert len(state["open"]) <= 2

    begun = state["begun"]
    asked_before = len(lines_of(seaweed, paths[0]))
    code, said = end(warm(seaweed, tmp_path))
    assert code == 0
    assert "60 keys: 60 in the bucket, 0 failed\n" in said
    assert {seaweed.origin.count(path) for path in paths} == {1}
    assert begun == 1 or len(lines_of(seaweed, paths[0])) == asked_before, (
        "what is done is not asked for again"
    )
    assert not (tmp_path / "warm-state.json").exists()


def test_the_state_of_another_list_is_not_gone_on_from(
    seaweed: Site, paths: list[str], tmp_path: Path
) -> None:
    (tmp_path / "list").write_text("\n".join(paths))
    state = {"url": f"{seaweed.stack.url}/", "list": "list", "begun": 5, "open": [], "last": "/another"}
    (tmp_path / "warm-state.json").write_text(json.dumps(state))
    code, said = end(warm(seaweed, tmp_path))
    assert (code, "is not the list of the interrupted run" in said) == (2, True)
    (tmp_path / "warm-state.json").write_text(json.dumps({**state, "list": "-"}))
    code, said = end(warm(seaweed, tmp_path))
    assert (code, "is the state of another run" in said) == (2, True)
    assert {seaweed.origin.count(path) for path in paths} == {0}


def test_an_edge_that_is_not_there_ends_the_run_and_not_every_key(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("\n".join(f"/{number}" for number in range(1000)))
    process = subprocess.run(
        [command(), "warm", "--concurrency", "1", "http://127.0.0.1:1/", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 2
    assert "gives no answer; the same command goes on when it does" in process.stderr


def test_the_transparent_edge_is_warmed_below_the_buckets_name(
    start: Start, unique: Unique, tmp_path: Path
) -> None:
    site = start(wiring="transparent")
    path = unique()
    site.origin.put(path, BODY)
    process = subprocess.run(
        [command(), "warm", f"{site.stack.url}/{site.store.bucket}/"],
        cwd=tmp_path,
        input=path[1:],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (process.returncode, process.stdout) == (0, "1 key: 1 in the bucket, 0 failed\n")
    assert (site.stored(path), site.origin.count(path)) == (BODY, 1)


def lines_of(site: Site, path: str) -> list[str]:
    log = site.stack.edge.access_log_path.read_text().splitlines()
    return [line for line in log if f'"{path}"' in line]
