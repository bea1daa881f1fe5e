"""The readers of cold objects of 200 MiB, and how each is judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from doubles.large_origin import Large
from stack.render import CHECKOUT

from .catalogue import BIN, PROGRAMS, Ask, aws_cli, curl
from .data import PYTHON, ffmpeg_binary
from .tool import printed, said

SIZE = 200 << 20
FILM_SECONDS = 60
FILMS = CHECKOUT / "target" / "clients-film"
WITHIN = 1000
"""The milliseconds within which a browser plays a cold film."""

Command = Callable[[Ask], Sequence[str | Path]]
Judge = Callable[[Path, Large], str]
"""Says what is wrong with an output, or nothing."""


@dataclass(frozen=True)
class Reader:
    name: str
    connections: str
    command: Command
    judge: Judge
    content: str = ""
    """The file of the films that it reads; else the object is any bytes."""
    follows: bool = False
    """It follows redirects, so the redirect wiring is for it, too."""
    is_film: bool = False
    """It plays, and is to begin at once where the answer is."""
    is_late: bool = False
    """It is slower than the fill, which ends in the middle of its download."""


def whole(output: Path, large: Large) -> str:
    with output.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return "" if digest.hexdigest() == large.sha256() else "other bytes"


def aria2c(*options: str) -> Command:
    return lambda ask: [
        "aria2c",
        *("-q", "-x16", "-s16", "-k1M", *options),
        *("-d", str(ask.output.parent), "-o", ask.output.name, ask.url),
    ]


def python(program: str, *options: str, size: bool = False) -> Command:
    def call(ask: Ask) -> Sequence[str | Path]:
        about = [ask.endpoint, ask.bucket, ask.key, *([str(SIZE)] if size else []), ask.output]
        return [PYTHON, PROGRAMS / program, *options, *about]

    return call


# Films


def films() -> Path:
    """Makes a film of 200 MiB, once: as MP4 and as HLS, whose segments are ranges of one file.

    It gets brighter from black to white, so that a picture shows its place. Filler gives it its size.
    """
    done = FILMS / "done"
    if not done.exists():
        FILMS.mkdir(parents=True, exist_ok=True)
        program = [*ffmpeg_binary(), "-loglevel", "error", "-nostdin", "-y"]
        source = f"color=white:size=640x360:rate=25:duration={FILM_SECONDS}"
        rate = [word for name in ("-b:v", "-minrate", "-maxrate", "-bufsize") for word in (name, "28M")]
        coded = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
        filled = [*rate, "-x264-params", "nal-hrd=cbr", "-vf", f"fade=in:0:{FILM_SECONDS * 25}"]
        said([*program, "-f", "lavfi", "-i", source, *coded, *filled, *MP4], FILMS)
        said([*program, "-i", "film.mp4", "-c", "copy", *HLS], FILMS)
        (FILMS / "film.html").write_text("<!doctype html><title>film</title>")
        done.touch()
    return FILMS


MP4 = ("-movflags", "+faststart", "film.mp4")
HLS = ("-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_flags", "single_file", "film.m3u8")


def chromium(browser: str) -> Command:
    def call(ask: Ask) -> Sequence[str | Path]:
        page = f"{ask.url.rpartition('/')[0]}/film.html"
        program = [BIN / "node", PROGRAMS / "with_film.cjs", browser]
        return [*program, page, ask.url, str(FILM_SECONDS), ask.output]

    return call


def shown(_output: Path, _large: Large) -> str:
    """Judges nothing: Chromium's program has judged the pictures."""
    return ""


def at_once(output: Path) -> str:
    plays = json.loads(output.read_text())["plays"]
    return "" if plays <= WITHIN else f"it plays after {plays} ms"


def ffmpeg(ask: Ask) -> Sequence[str | Path]:
    playlist = f"{ask.url.rpartition('/')[0]}/film.m3u8"
    return [*ffmpeg_binary(), "-loglevel", "error", "-nostdin", "-i", playlist, *DIGEST, ask.output]


def demuxed(output: Path, _: Large) -> str:
    program = [*ffmpeg_binary(), "-loglevel", "error", "-nostdin", "-i", "film.m3u8", *DIGEST, "-"]
    return "" if output.read_text() == printed(program, films()) else "another film"


DIGEST = ("-c", "copy", "-f", "md5")


TEN, SIXTEEN, IN_TURN = "ten", "sixteen", "one after the other"


def readers(browser: str | None) -> Sequence[Reader]:
    """Lists the readers; the browser is one if there is any."""
    with_pyarrow, with_gdal = (python("with_ranges.py", each, size=True) for each in ("pyarrow", "gdal"))
    slowly = aria2c("--max-overall-download-limit=1500K")
    plain = (
        Reader("curl `-L`", "one", curl("-L"), whole, follows=True),
        Reader("`aws s3 cp`", TEN, aws_cli, whole),
        Reader("boto3 `download_file`", TEN, python("with_boto3.py", "download"), whole),
        Reader("boto3 `download_file`, at 1.5 MB/s", TEN, python("with_boto3_slow.py"), whole, is_late=True),
        Reader("aria2c `-x16`", SIXTEEN, aria2c(), whole, follows=True),
        Reader("aria2c `-x16`, at 1.5 MB/s", SIXTEEN, slowly, whole, follows=True, is_late=True),
        Reader("pyarrow, from the end, `request_timeout=60`", IN_TURN, with_pyarrow, whole),
        Reader("GDAL, from the end", IN_TURN, with_gdal, whole, follows=True),
        Reader("ffmpeg, HLS of one file", IN_TURN, ffmpeg, demuxed, "film.ts", follows=True),
    )
    film = chromium(browser or "")
    video = Reader("Chromium, `<video>`", "one or two", film, shown, "film.mp4", True, True)
    return (*plain, video) if browser else plain
