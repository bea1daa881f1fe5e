"""Chromium on the sample page, through the redirect wiring: it must show every picture.

Then a page of another site fetches an object that the bucket lacks, so that the 302 needs its CORS headers.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from doubles import StrictBucket
from stack import Stack, StackError
from stack.render import CHECKOUT
from stack.sample import SampleOrigin

from .catalogue import BIN, PROGRAMS
from .trial import run
from .web import chromium

SCREENSHOT = CHECKOUT / "target" / "browser.png"


def main() -> int:
    try:
        seen = look(browser())
    except StackError as error:
        print(f"make browser: {error}", file=sys.stderr)
        return 1
    shown, missing = seen["shown"], seen["missing"]
    print(f"Chromium {seen['version']}: {len(shown)} pictures shown, {len(missing)} not {missing or ''}")
    print(f"{seen['redirects']} redirects followed; a fetch from another origin got {seen['fetched']}")
    print(f"{SCREENSHOT.relative_to(CHECKOUT)} shows the page")
    return 0 if shown and not missing and seen["fetched"] == "200, all of it" else 1


def browser() -> str:
    if not (found := chromium()):
        wanted = os.environ.get("CHROMIUM") or "Chromium"
        raise StackError(f"no {wanted}: apt install chromium, or name one with CHROMIUM=")
    return found


def look(path: str) -> dict[str, Any]:
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory()))
        origin = running.enter_context(SampleOrigin(lambda _: None))
        store = running.enter_context(StrictBucket())
        stack = running.enter_context(Stack(directory, origin=origin.url, store=store))
        program = PROGRAMS / "with_chromium.cjs"
        # The sample origin itself is the other site.
        done = run([BIN / "node", program, path, stack.url, origin.url, SCREENSHOT], directory)
        if done.returncode:
            raise StackError(f"the browser's program failed:\n{done.stderr}")
        return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
