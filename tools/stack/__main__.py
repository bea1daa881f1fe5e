"""`make run`: an Envoy that fills a bucket from an origin, for a user who wants to watch it.

`make help` describes the variables, `settings` parses them.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from . import seaweedfs, settings
from .children import PR_SET_PDEATHSIG, Child, StackError, require_free
from .render import CHECKOUT
from .sample import SampleOrigin
from .seaweedfs import SeaweedFS
from .settings import Settings, SettingsError
from .stack import Stack
from .store import S3Store
from .terminal import FILL, STORED, Follower, colours, fill_line, request_line

POLL = 0.1
"""The seconds between two looks at the logs and at the children."""

RUNS = CHECKOUT / "target" / "run"
RUNS_KEPT = 10
"""The runs whose logs are kept after their end."""

PROBE = "is-this-bucket-there%7F"
"""A path with a control character: the bucket answers, and no origin is ever asked."""


def main() -> int:
    _end_in_order()
    try:
        _run(settings.parse(os.environ))
    except SettingsError as error:
        for problem in error.problems:
            print(f"make run: {problem}", file=sys.stderr)
        return 1
    except StackError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("stopped")
        return 0
    except BrokenPipeError:  # `make run | head`: nobody watches any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(wanted: Settings) -> NoReturn:
    if wanted.ca_file:
        os.environ["SSL_CERT_FILE"] = str(wanted.ca_file)  # Where Envoys and the check look.
    require_free(wanted.port)  # Before anything is started that takes seconds.
    with contextlib.ExitStack() as running:
        try:
            run_dir = _run_directory(wanted.data)
            running.callback(_end, run_dir, wanted.data)
            children: list[Child] = []
            store = wanted.store
            if store:
                store.check()
            else:
                _say("starting the S3 server (SeaweedFS)...")
                store = running.enter_context(SeaweedFS(run_dir, wanted.bucket, keep=wanted.data is not None))
                children.append(store.child)
                _tell_curl(store, run_dir / "s3.env")
            origin = wanted.origin or _sample_origin(running)
            _say("starting Envoy, the signer and the edge...")
            stack = running.enter_context(
                Stack(
                    run_dir,
                    origin=origin,
                    store=store,
                    wiring=wanted.wiring,
                    port=wanted.port,
                    workers=wanted.workers,
                    plugin=wanted.plugin,
                    access=wanted.access,
                )
            )
            children += [stack.signer.child, stack.edge.child]
            prefix = f"/{wanted.bucket}" if wanted.exposes_path else ""
            _wait_until_the_bucket_answers(stack, prefix)
            _explain(wanted, store, origin, stack, prefix)
            _say(f"ready {stack.url}/")
            _watch(stack, children, _Lesson(stack.url + prefix, sample=wanted.origin is None))
        finally:
            _ignore_further_signals()


def _run_directory(data: Path | None) -> Path:
    """Makes target/run/PID for this run alone, or takes DATA. Of ended runs it keeps the logs, and of old
    ones nothing.
    """
    if data:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        seaweedfs.remove_sockets(data / seaweedfs.DIRECTORY)
        return data
    RUNS.mkdir(parents=True, exist_ok=True)
    ended = [old for old in RUNS.iterdir() if not Path("/proc", old.name).exists()]
    for old in ended:
        seaweedfs.remove_sockets(old / seaweedfs.DIRECTORY)
        _keep_the_logs(old)
    for old in sorted(ended, key=_time, reverse=True)[RUNS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    own = _own_directory()
    shutil.rmtree(own, ignore_errors=True)  # Of an ended run with the same number.
    own.mkdir(mode=0o700)
    return own


def _own_directory() -> Path:
    return RUNS / str(os.getpid())


def _time(directory: Path) -> float:
    """Returns 0 for a directory that another run has removed meanwhile."""
    return directory.stat().st_mtime if directory.exists() else 0.0


def _end(run_dir: Path, data: Path | None) -> None:
    if data is None:
        _keep_the_logs(run_dir)
    _say(f"the logs are in {_shown(run_dir)}")


def _keep_the_logs(run_dir: Path) -> None:
    """Removes what is in a run's directory, but for its logs."""
    with contextlib.suppress(OSError):  # Another run removes it, too.
        for entry in list(run_dir.iterdir()):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.suffix != ".log":
                entry.unlink(missing_ok=True)


def _shown(path: Path) -> Path:
    return path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path


def _tell_curl(store: SeaweedFS, file: Path) -> None:
    """Writes what a shell needs to ask the bucket itself, as its owner: `curl $S3_AUTH $S3_URL/KEY`."""
    owner = store.owner
    file.touch(mode=0o600)
    file.write_text(
        f"S3_URL={store.url}/{store.bucket}\n"
        f'S3_AUTH="--aws-sigv4 aws:amz:{store.region}:s3 --user {owner.access_key}:{owner.secret_key}"\n'
    )


def _sample_origin(running: contextlib.ExitStack) -> str:
    """Starts the sample origin. SIGUSR1 stops it, and starts it again."""
    origin = running.enter_context(SampleOrigin(_say))

    def toggle(*_: object) -> None:
        origin.down = not origin.down
        # The signal may come while something is printed, which can be begun once only.
        os.write(sys.stdout.fileno(), f"origin: {'stopped' if origin.down else 'started'}\n".encode())

    signal.signal(signal.SIGUSR1, toggle)
    return origin.url


def _wait_until_the_bucket_answers(stack: Stack, prefix: str) -> None:
    """Waits until an answer comes through the edge. Any will do but Envoy's own 503, for a bucket that it
    cannot reach.
    """
    address = urlsplit(stack.url).netloc

    def answered() -> bool:
        with contextlib.closing(http.client.HTTPConnection(address, timeout=10)) as connection:
            connection.request("GET", f"{prefix}/{PROBE}")
            return connection.getresponse().status != 503

    stack.edge.child.wait_until(answered, timeout=30)


def _explain(wanted: Settings, store: S3Store, origin: str, stack: Stack, prefix: str) -> None:
    base = stack.url + prefix
    key = "KEY" if wanted.origin else "img/harbour.svg"
    _say(f"\n  The bucket {wanted.bucket} at {store.url} fills itself from {origin}\n")
    if wanted.wiring == "transparent":
        _say(f"  curl -si {base}/{key}   # 200 the first time too: Envoy follows the 302 itself")
    else:
        _say(f"  curl -si {base}/{key}   # the first time: 302, and the bucket has it")
        _say(f"  curl -si {base}/{key}   # from now on: 200, and the origin is not asked")
        _say(f"  curl -sL {base}/{key}   # as browsers do: follows the 302")
    if wanted.wiring == "transparent" and wanted.exposes_path:
        endpoint = base.removesuffix(f"/{wanted.bucket}")
        _say(f"  aws --no-sign-request --endpoint-url {endpoint} s3 cp s3://{wanted.bucket}/{key} -")
    _say("")
    if not wanted.origin:
        _say(f"  In a browser, six pictures to click through: {base}/index.html\n")
    _say(f"  Metrics   {stack.edge.admin}/stats/prometheus (signer: {stack.signer.admin}/stats/prometheus)")
    _say(f"  Logs      {_shown(stack.edge.log_path.parent)}/edge.log and edge.access.log, also after the end")
    kept = "the bucket and the logs" if wanted.data else "the logs alone"
    _say(f"  Ctrl-C stops everything, and leaves {kept}.\n")


class _Lesson:
    """What to try next, once, after the first object was stored."""

    def __init__(self, base: str, *, sample: bool) -> None:
        self._base = base
        self._sample = sample
        self._given = False

    def after(self, log: str) -> None:
        fill = FILL.search(log)
        if self._given or fill is None or fill["outcome"] not in STORED:
            return
        self._given = True
        other, large = ("index.html", "large.bin") if self._sample else ("ANOTHER-KEY", "A-LARGE-KEY")
        stop = f"kill -USR1 {os.getpid()}" if self._sample else "stop it"
        _say("\n  The bucket has its first object. What to try next, and what to look for:\n")
        for what, command, look in (
            ("again", f"curl -si {self._base}{fill['key']} | head -1", "200, and no line of the origin"),
            (
                "fifty at once",
                f"seq 50 | xargs -P 50 -I N curl -so /dev/null {self._base}/{other}",
                "one fill for all of them",
            ),
            ("a missing key", f"curl -si {self._base}/no-such-key | head -4", "404, not_found"),
            ("a large one", f"curl -sL {self._base}/{large} | wc -c", "its parts, stored one by one"),
            ("no origin", stop, "what is stored is served, and the rest is 502"),
        ):
            _say(f"    {what:<14} {command}\n    {'':<14} # {look}")
        _say("")


def _watch(stack: Stack, children: list[Child], lesson: _Lesson) -> NoReturn:
    """Shows each request, each fill and Envoy's complaints, until a child ends."""
    requests = Follower(stack.edge.access_log_path)
    log = Follower(stack.edge.log_path)
    coloured = colours(sys.stdout)
    while True:
        fills = []
        for line in log.lines():
            if "][info][" not in line:
                _say(f"edge: {line}")
            elif fill := fill_line(line):
                _say(fill.shown(coloured))
                fills.append(line)
        for line in requests.lines():
            if PROBE not in line:
                _say(request_line(line).shown(coloured))
        for line in fills:
            lesson.after(line)
        for child in children:
            if child.exit_code is not None:
                raise StackError(
                    f"{child.name} has ended, exit code {child.exit_code}. It said:\n{child.tail()}"
                )
        time.sleep(POLL)


def _end_in_order() -> None:
    """Turns Ctrl-C, SIGTERM, a closed terminal and the end of the make above into a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # Else nohup asked for that.
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell starts its background jobs with SIGINT ignored; a sender of it means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "MAKELEVEL" in os.environ:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _ignore_further_signals() -> None:
    """Ignores further signals: a second Ctrl-C must not interrupt the tidying."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
