"""Pages in Chromium that read from an edge, and pages of other sites that do."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from doubles import ScriptedOrigin
from e2e.caches import cache_of

from .catalogue import BIN, INSTALLED, PROGRAMS
from .data import FILM, MP4, ffmpeg_binary
from .tool import Tool, said
from .trial import Endpoint

NAMES = ("chromium", "chromium-browser", "google-chrome")
PDF_JS = INSTALLED / "node_modules" / "pdfjs-dist"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".mp4": "video/mp4",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
}
SITE = {"page.html": b"<!doctype html><title>another site</title>"}
"""What the other site has, beside pdf.js."""

Content = Mapping[str, bytes]


def chromium() -> str | None:
    """Returns Chromium's path."""
    wanted = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, [wanted] if wanted else NAMES)), None)


def put(origin: ScriptedOrigin, under: str, content: Content) -> None:
    for name, body in content.items():
        kept = {"Content-Type": TYPES[Path(name).suffix], "Cache-Control": "public, max-age=600"}
        origin.put(f"{under}/{name}", body, kept)


def shows(
    case: str, content: Callable[[Path], Content], expected: str
) -> Callable[[str, Path, Endpoint], None]:
    """Reads in Chromium what the origin has under the first word of a case's name."""

    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        under = f"/{CONTENT.get(case, case)}"
        put(endpoint.site.origin, under, content(directory))
        with ScriptedOrigin() as site, cache_of(endpoint.site.stack.url, directory) as cache:
            put(
                site,
                "",
                {**SITE, **{each.name: each.read_bytes() for each in PDF_JS.glob("build/*.min.mjs")}},
            )
            cached = f"{cache}/{endpoint.site.store.bucket}"
            program = [BIN / "node", PROGRAMS / "with_pages.cjs", chromium() or ""]
            said([*program, case, base, site.url, cached, expected], directory)

    return read


CONTENT = {"service worker": "worker", "pdf.js": "pdf"}
"""The folders of cases that have another name."""


def page(_: Path) -> Content:
    head = "<title>page</title><link rel=stylesheet href=style.css><script src=script.js></script>"
    return {
        "index.html": f"<!doctype html>{head}<body><img src=a.png>".encode(),
        "style.css": b"body { color: rgb(1, 2, 3) }",
        "script.js": b"window.ran = 'ran'",
        "a.png": png(7),
    }


def png(width: int) -> bytes:
    """Makes a black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, width, 8, 0, 0, 0, 0)
    lines = zlib.compress(bytes((width + 1) * width))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def modules(_: Path) -> Content:
    return {
        "index.html": b"<!doctype html><script type=module src=main.mjs></script>",
        "main.mjs": b"import { a } from './a.mjs'; window.ran = a + (await import('./b.mjs')).b;",
        "a.mjs": b"export const a = 'static ';",
        "b.mjs": b"export const b = 'dynamic';",
    }


def worker(_: Path) -> Content:
    """Makes a page that its service worker keeps, as sites that work offline do."""
    script = """
    addEventListener("install", (event) => event.waitUntil(
      caches.open("a").then((cache) => cache.addAll(["kept.html"])).then(() => skipWaiting())));
    addEventListener("activate", (event) => event.waitUntil(clients.claim()));
    addEventListener("fetch", (event) => event.respondWith(
      caches.match(event.request).then((kept) => kept ?? new Response("of the worker"))));
    """
    return {
        "index.html": b"<!doctype html><title>worker</title>",
        "worker.js": script.encode(),
        "kept.html": b"<!doctype html><title>kept</title>",
    }


def video(directory: Path) -> Content:
    program = [*ffmpeg_binary(), "-loglevel", "error", "-nostdin"]
    said([*program, *FILM, "-pix_fmt", "yuv420p", *MP4], directory)
    return {"index.html": b"<!doctype html><video></video>", MP4[-1]: (directory / MP4[-1]).read_bytes()}


def font(_: Path) -> Content:
    return {"font.ttf": (PDF_JS / "standard_fonts" / "LiberationSans-Regular.ttf").read_bytes()}


def book(_: Path) -> Content:
    """Makes a PDF of 40 pages, each of which has much that no viewer reads."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    fonts = "<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    kids = []
    for number in range(1, 41):
        drawn = f"BT /F 12 Tf 72 720 Td (page {number}) Tj ET\n" + f"%{'unread' * 10}\n" * 500
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {fonts} "
            f"/Contents {len(objects) + 2} 0 R >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}endstream")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    text, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(text))
        text += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return {"book.pdf": f"{text}{end}startxref\n{len(text)}\n%%EOF\n".encode()}


def texts(**files: str) -> Callable[[Path], Content]:
    return lambda _: {f"{name}.txt": text.encode() for name, text in files.items()}


VERSION = ["sh", "-c", f"{chromium() or 'false'} --version"]
CASES: Sequence[tuple[str, str, Callable[[Path], Content], str]] = (
    ("page", "a page", page, "page,rgb(1, 2, 3),ran,7"),
    ("modules", "module scripts", modules, "static dynamic"),
    ("fetch", "`fetch` from another site", texts(whole="some text"), "200,some text,206, te,bytes 4-6/9"),
    ("cache", "`fetch` from two sites through a cache", texts(first="same", second="same"), "same"),
    ("service worker", "a service worker", worker, "kept,of the worker"),
    ("video", "`<video>`", video, "160,12"),
    ("font", "a web font on another site", font, "edge,loaded"),
    ("pdf.js", "pdf.js on another site", book, "40,page 40"),
)

BROWSING: Sequence[Tool] = tuple(
    Tool(f"Chromium, {title}", chromium() or "chromium", VERSION, shows(case, content, expected))
    for case, title, content, expected in CASES
)
