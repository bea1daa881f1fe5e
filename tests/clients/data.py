"""Readers of rasters, tables and films, which ask for the ranges that they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .catalogue import BIN, PROGRAMS
from .tool import Tool, ToolError, printed, publish, said
from .trial import Endpoint

PYTHON = BIN / "python"


def expect_equal(got: str, local: str) -> None:
    if got != local:
        raise ToolError(f"{got or 'nothing'}, where the file itself gives {local}")


def made_by(program: str, name: str, directory: Path) -> Path:
    """Makes a file of a program's own kind, of which it later reads the same from the edge."""
    path = directory / name
    said([PYTHON, PROGRAMS / program, "make", path], directory)
    return path


# GDAL


def gdal(system: str) -> Callable[[str, Path, Endpoint], None]:
    """Reads a raster through `/vsicurl/` or `/vsis3/`."""

    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        made = made_by("with_gdal.py", "raster.tif", directory)
        publish(endpoint, {made.name: made.read_bytes()}, system)
        bucket = endpoint.site.store.bucket
        place = f"{base}/{system}" if system == "vsicurl" else f"{bucket}/{system}"
        program = [PYTHON, PROGRAMS / "with_gdal.py", "read"]
        path = f"/{system}/{place}/{made.name}"
        s3 = {"AWS_S3_ENDPOINT": endpoint.host, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
        expect_equal(printed([*program, path], directory, **s3), printed([*program, made], directory))

    return read


# DuckDB


def duckdb(scheme: str) -> Callable[[str, Path, Endpoint], None]:
    """Reads one column of a Parquet file by `http://` or `s3://`."""

    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        under = f"duckdb-{scheme}"
        made = made_by("with_duckdb.py", "table.parquet", directory)
        publish(endpoint, {made.name: made.read_bytes()}, under)
        program = [PYTHON, PROGRAMS / "with_duckdb.py", "read"]
        place = f"s3://{endpoint.site.store.bucket}" if scheme == "s3" else base
        signed = [endpoint.site.stack.url] if scheme == "s3" else []
        got = printed([*program, f"{place}/{under}/{made.name}", *signed], directory)
        expect_equal(got, printed([*program, made], directory))

    return read


# ffmpeg


def ffmpeg_binary() -> Sequence[str | Path]:
    """Returns a command that runs the ffmpeg of the wheel."""
    run = "import os, sys, imageio_ffmpeg as i; f = i.get_ffmpeg_exe(); os.execv(f, [f, *sys.argv[1:]])"
    return [PYTHON, "-c", run]


FILM = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=10:duration=12", "-c:v", "libx264", "-g", "10"]
MP4 = ["film.mp4"]
"""Its index is at its end, so that a player reads that first."""
HLS = ["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "index.m3u8"]
RANGED_HLS = ["-hls_flags", "single_file", *HLS]
"""All its segments are ranges of one file."""


def ffmpeg(under: str, *options: str) -> Callable[[str, Path, Endpoint], None]:
    """Plays a film that ffmpeg makes with these options, whose last one is the file that is played."""

    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        film = directory / "film"
        film.mkdir()
        program = [*ffmpeg_binary(), "-loglevel", "error", "-nostdin"]
        said([*program, *FILM, *options], film)
        publish(endpoint, {each.name: each.read_bytes() for each in film.iterdir()}, under)

        def plays(place: str | Path) -> str:
            return printed([*program, "-i", place, "-f", "md5", "-"], directory)

        expect_equal(plays(f"{base}/{under}/{options[-1]}"), plays(film / options[-1]))

    return read


def of_python(module: str, attribute: str = "__version__") -> Sequence[str | Path]:
    return [PYTHON, "-c", f"import {module} as m; print(m.{attribute})"]


GDAL_VERSION = of_python("rasterio", "__gdal_version__")
FFMPEG_VERSION = of_python("imageio_ffmpeg", "get_ffmpeg_version()")

READERS: Sequence[Tool] = (
    Tool("GDAL, `/vsicurl/`", str(PYTHON), GDAL_VERSION, gdal("vsicurl")),
    Tool("GDAL, `/vsis3/`", str(PYTHON), GDAL_VERSION, gdal("vsis3")),
    Tool("DuckDB, `http://`", str(PYTHON), of_python("duckdb"), duckdb("http")),
    Tool("DuckDB, `s3://`", str(PYTHON), of_python("duckdb"), duckdb("s3")),
    Tool("ffmpeg, MP4", str(PYTHON), FFMPEG_VERSION, ffmpeg("mp4", *MP4)),
    Tool("ffmpeg, HLS", str(PYTHON), FFMPEG_VERSION, ffmpeg("hls", *HLS)),
    Tool("ffmpeg, HLS of one file", str(PYTHON), FFMPEG_VERSION, ffmpeg("ranged-hls", *RANGED_HLS)),
)
