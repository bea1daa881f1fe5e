"""`make run` as a new user meets it: it fills, reports mistakes, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles import ScriptedOrigin, StrictBucket
from stack.children import free_ports
from stack.render import CHECKOUT

from .client import ask
from .conftest import Unique

BODY = b"an object\n"
_MEASURED = re.compile(r"(, [\d,]+ bytes(?= in))?( in \d+ parts)? (in|after) [\d,]+ ms")
START_TIMEOUT = 60


class Run:
    """One `python -m stack`, with a temporary directory of its own."""

    def __init__(self, temporary: Path, **variables: str) -> None:
        self.port = free_ports(1)[0]
        environment = {"PATH": os.environ["PATH"], "TMPDIR": str(temporary), "PYTHONPATH": "tools"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stack"],
            cwd=CHECKOUT,
            env={**environment, "PORT": str(self.port), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self) -> None:
        self.read_until(f"ready {self.url}/")

    def read_until(self, expected: str) -> list[str]:
        """Returns the lines that it prints up to and with the expected one, without sizes and times."""
        assert self.process.stdout
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(_MEASURED.sub("", line.rstrip("\n")))
            if lines[-1] == expected:
                return lines
        raise AssertionError(f"it ended without {expected!r}: {lines} {self.process.communicate()}")

    def read_raw(self, begin: str) -> list[str]:
        """Returns the lines that it prints up to and with the first one that begins so, as they are."""
        assert self.process.stdout
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(begin):
                return lines
        raise AssertionError(f"it ended without {begin!r}: {lines} {self.process.communicate()}")

    def end(self) -> tuple[int, str, str]:
        """Returns the exit code and the rest of the output, once it has ended by itself."""
        out, err = self.process.communicate(timeout=START_TIMEOUT)
        return self.process.returncode, out, err

    def children(self) -> list[int]:
        return [pid for pid, parent in _processes() if parent == self.process.pid]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(**variables: str) -> Run:
        runs.append(Run(tmp_path, **variables))
        return runs[-1]

    yield start
    for each in runs:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


def test_it_fills_from_the_origin_of_your_choice_and_ctrl_c_leaves_nothing(
    run: Callable[..., Run], origin: ScriptedOrigin, unique: Unique, tmp_path: Path
) -> None:
    path = unique("picture.jpg")
    origin.put(path, BODY, {"Content-Type": "image/jpeg"})
    running = run(ORIGIN=origin.url, BUCKET="another-bucket", WORKERS="1")
    running.wait_until_ready()

    miss = ask(running.url, path)
    assert (miss.status, miss.header("location"), miss.outcome) == (302, path, "stored")
    hit = ask(running.url, path)
    assert (hit.status, hit.body, hit.header("content-type")) == (200, BODY, "image/jpeg")
    assert origin.count(path) == 1

    children = running.children()
    assert len(children) >= 3
    running.process.send_signal(signal.SIGINT)
    code, _, err = running.end()
    assert (code, err) == (0, "")
    assert_gone(children)
    assert list(tmp_path.iterdir()) == []
    assert is_free(running.port)


@pytest.mark.parametrize("by", ["CONFIG", "STORE_KIND"])
def test_a_store_without_conditional_writes_is_one_setting(
    run: Callable[..., Run], origin: ScriptedOrigin, unique: Unique, tmp_path: Path, by: str
) -> None:
    path, config = unique(), tmp_path / "config.json"
    config.write_text('{"bucket": {"if_none_match": false}}')
    origin.put(path, BODY)
    variables = {"CONFIG": str(config)} if by == "CONFIG" else {"STORE_KIND": "garage"}
    running = run(ORIGIN=origin.url, **variables)
    running.wait_until_ready()
    assert ask(running.url, path).outcome == "stored"
    assert ask(running.url, path).body == BODY


def test_it_shows_why_a_fill_failed(run: Callable[..., Run], origin: ScriptedOrigin, unique: Unique) -> None:
    path = unique()
    origin.put(path, BODY)
    with StrictBucket() as store:
        store.fault("PutObject", path[1:], status=403, code="AccessDenied")
        writer, bucket = store.writer, store.bucket
        keys = {"AWS_ACCESS_KEY_ID": writer.access_key, "AWS_SECRET_ACCESS_KEY": writer.secret_key}
        running = run(
            ORIGIN=origin.url, S3_ENDPOINT=store.url, BUCKET=bucket, AWS_REGION=store.region, **keys
        )
        running.wait_until_ready()
        assert ask(running.url, path).outcome == "not_stored"
        running.read_until(f"fill: {path} not_stored: the store answered 403")


def test_each_miss_has_its_size_and_its_time_and_the_first_one_a_lesson(run: Callable[..., Run]) -> None:
    running = run()
    running.wait_until_ready()
    assert ask(running.url, "/large.bin").outcome == "stored"
    (fill,) = [
        line for line in running.read_raw("  The bucket has its first object.") if line.startswith("fill: ")
    ]
    assert re.fullmatch(r"fill: /large\.bin stored, 20,971,520 bytes in 4 parts in [\d,]+ ms", fill)
    lesson = running.read_raw("    no origin")
    assert [line.split("  ")[2] for line in lesson if line.startswith("    ") and line[4] != " "] == [
        "again",
        "fifty at once",
        "a missing key",
        "a large one",
        "no origin",
    ]
    assert ask(running.url, "/no-such-key").outcome == "not_found"
    (line,) = running.read_raw("edge: 404 not_found /no-such-key in ")[-1:]
    assert re.fullmatch(r"edge: 404 not_found /no-such-key in [\d,]+ ms", line)
    assert ask(running.url, "/index.html").outcome == "stored"
    more = running.read_raw("edge: 302 stored /index.html")
    assert not [line for line in more if "first object" in line]


def test_a_signal_stops_the_sample_origin_and_what_is_stored_is_served(run: Callable[..., Run]) -> None:
    running = run()
    running.wait_until_ready()
    assert ask(running.url, "/index.html").outcome == "stored"
    running.process.send_signal(signal.SIGUSR1)
    running.read_until("origin: stopped")
    assert ask(running.url, "/index.html").status == 200
    failed = ask(running.url, "/img/harbour.svg")
    assert (failed.status, failed.outcome) == (502, "origin_unavailable")
    assert [line for line in running.read_raw("fill: /img/harbour.svg origin_unavailable after ")]
    running.process.send_signal(signal.SIGUSR1)
    running.read_until("origin: started")


def test_a_directory_of_ones_own_keeps_the_bucket_for_the_next_run(
    run: Callable[..., Run], origin: ScriptedOrigin, unique: Unique, tmp_path: Path
) -> None:
    path = unique()
    origin.put(path, BODY)
    for expected in ((302, "stored"), (200, None)):
        running = run(ORIGIN=origin.url, DATA=str(tmp_path / "kept"))
        running.wait_until_ready()
        answer = ask(running.url, path)
        assert (answer.status, answer.outcome) == expected
        running.process.send_signal(signal.SIGINT)
        assert running.end()[0] == 0
    assert origin.count(path) == 1
    assert "S3_URL=http://127.0.0.1:" in (tmp_path / "kept" / "s3.env").read_text()


def test_the_logs_stay_after_the_end_and_their_place_is_told(
    run: Callable[..., Run], origin: ScriptedOrigin, unique: Unique
) -> None:
    path = unique()
    origin.put(path, BODY)
    running = run(ORIGIN=origin.url)
    running.wait_until_ready()
    assert ask(running.url, path).outcome == "stored"
    running.read_until(f"edge: 302 stored {path}")
    running.process.send_signal(signal.SIGINT)
    code, out, _ = running.end()
    assert code == 0
    (place,) = re.findall(r"^the logs are in (.+)$", out, re.MULTILINE)
    place = CHECKOUT / place
    assert f"fill key={path} outcome=stored" in (place / "edge.log").read_text()
    assert path in (place / "edge.access.log").read_text()
    assert {entry.suffix for entry in place.iterdir()} == {".log"}


def test_the_sample_origin_shows_who_is_asked(run: Callable[..., Run]) -> None:
    running = run()
    running.wait_until_ready()
    assert ask(running.url, "/index.html").status == 302
    page = ask(running.url, "/index.html")
    assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
    assert b".svg" in page.body
    shown = running.read_until("edge: 200 /index.html")
    assert shown.count("origin: GET /index.html") == 1
    assert "edge: 302 stored /index.html" in shown
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 0


@pytest.mark.parametrize(("exposed", "under"), [({}, "/shop"), ({"EXPOSED": "root"}, "")])
def test_the_transparent_wiring_redirects_nobody(
    run: Callable[..., Run], origin: ScriptedOrigin, unique: Unique, exposed: dict[str, str], under: str
) -> None:
    path = unique()
    origin.put(path, BODY)
    running = run(ORIGIN=origin.url, BUCKET="shop", WIRING="transparent", **exposed)
    running.wait_until_ready()
    answer = ask(running.url, under + path)
    assert (answer.status, answer.body) == (200, BODY)
    shown = running.read_until(f"edge: 200 {under}{path}")
    assert f"edge: 302 stored {under}{path}" in shown
    running.process.send_signal(signal.SIGINT)
    assert running.end()[0] == 0


def test_not_even_a_kill_leaves_a_process_behind(run: Callable[..., Run], origin: ScriptedOrigin) -> None:
    running = run(ORIGIN=origin.url)
    running.wait_until_ready()
    children = running.children()
    assert len(children) >= 3
    running.process.kill()
    running.end()
    assert_gone(children)


def test_it_says_which_child_has_died(run: Callable[..., Run], origin: ScriptedOrigin) -> None:
    running = run(ORIGIN=origin.url)
    running.wait_until_ready()
    children = running.children()
    (edge,) = [pid for pid in children if "edge" in _command(pid)]
    os.kill(edge, signal.SIGKILL)
    code, _, err = running.end()
    assert (code, "Envoy (edge) has ended" in err) == (1, True)
    assert_gone(children)


def test_a_taken_port_is_one_clear_line(run: Callable[..., Run], origin: ScriptedOrigin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = run(ORIGIN=origin.url, PORT=str(port)).end()
    assert (code, len(err.splitlines())) == (1, 1)
    assert str(port) in err
    assert "PORT" in err


def test_wrong_variables_are_all_named_with_what_is_allowed(run: Callable[..., Run], tmp_path: Path) -> None:
    wrong = {
        "BUCKET": "No Bucket",
        "CONFIG": str(tmp_path / "missing.json"),
        "DATA": "Makefile",
        "EXPOSED": "sideways",
        "ORIGIN": "files.example.com",
        "PORT": "70000",
        "S3_ENDPOINT": "127.0.0.1:9000",
        "WIRING": "inline",
        "WORKERS": "none",
    }
    code, out, err = run(**wrong).end()
    assert code == 1
    for name, value in wrong.items():
        assert f"{name}={value}" in err
    assert err.count("allowed") >= len(wrong)
    assert "Traceback" not in out + err


def test_a_wrong_configuration_shows_every_problem(
    run: Callable[..., Run], origin: ScriptedOrigin, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"wait": "soon", "limits": {"part_size": 5}, "colour": "blue"}))
    code, out, err = run(ORIGIN=origin.url, CONFIG=str(config)).end()
    assert code == 1
    for path in ("$.wait", "$.limits.part_size", "$.colour"):
        assert path in err
    assert "Traceback" not in out + err


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while left := [pid for pid in pids if _is_running(pid)]:
        assert time.monotonic() < deadline, [_command(pid) for pid in left]
        time.sleep(0.02)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _processes() -> Iterator[tuple[int, int]]:
    """Lists every process and its parent."""
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                fields = (directory / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # It has ended meanwhile.
                continue
            yield int(directory.name), int(fields[1])


def _is_running(pid: int) -> bool:
    """A zombie that waits for its new parent has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
