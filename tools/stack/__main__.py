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
from .terminal import Follower, failed_fill, request_line

POLL = 0.1
"""The seconds between two looks at the logs and at the children."""

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
    require_free(wanted.port)  # Before anything is started that takes seconds.
    with contextlib.ExitStack() as running:
        try:
            run_dir = _run_directory()
            running.callback(shutil.rmtree, run_dir, ignore_errors=True)
            children: list[Child] = []
            store = wanted.store
            if store:
                store.check()
            else:
                _say("starting the S3 server (SeaweedFS)...")
                store = running.enter_context(SeaweedFS(run_dir, wanted.bucket))
                children.append(store.child)
            origin = wanted.origin or running.enter_context(SampleOrigin(_say)).url
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
            _explain(wanted, store, origin, stack.url + prefix)
            _say(f"ready {stack.url}/")
            _watch(stack, children)
        finally:
            _ignore_further_signals()


def _run_directory() -> Path:
    """Makes target/run/PID for this run alone, and removes the leftovers of killed runs."""
    base = CHECKOUT / "target" / "run"
    base.mkdir(parents=True, exist_ok=True)
    for old in base.iterdir():
        if not Path("/proc", old.name).exists():
            seaweedfs.remove_sockets(old / seaweedfs.DIRECTORY)
            shutil.rmtree(old, ignore_errors=True)
    own = base / str(os.getpid())
    own.mkdir(mode=0o700)
    return own


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


def _explain(wanted: Settings, store: S3Store, origin: str, base: str) -> None:
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
    _say("  Ctrl-C stops everything and leaves nothing behind.\n")


def _watch(stack: Stack, children: list[Child]) -> NoReturn:
    """Shows each request, and Envoy's complaints, until a child ends."""
    requests = Follower(stack.edge.access_log_path)
    complaints = Follower(stack.edge.log_path)
    while True:
        for line in requests.lines():
            if PROBE not in line:
                _say(f"edge: {request_line(line)}")
        for line in complaints.lines():
            if "][info][" not in line:
                _say(f"edge: {line}")
            elif failed := failed_fill(line):
                _say(f"fill: {failed}")
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
