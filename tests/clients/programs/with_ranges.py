"""pyarrow or gdal, endpoint bucket key size output: reads an object range by range, from its end."""

import sys
from collections.abc import Callable
from pathlib import Path

library, endpoint, bucket, key, size, output = sys.argv[1:]
STEP = 8 << 20


def with_pyarrow() -> Callable[[range], bytes]:
    from pyarrow.fs import S3FileSystem

    # By default it gives an answer 3 s to begin, and `wait` is 25 s.
    files = S3FileSystem(endpoint_override=endpoint, request_timeout=60)
    file = files.open_input_file(f"{bucket}/{key}")
    return lambda span: file.read_at(len(span), span.start)


def with_gdal() -> Callable[[range], bytes]:
    """Reads a raster without a head, whose lines are 64 KiB long."""
    import os

    import rasterio
    from rasterio.windows import Window

    os.environ["GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE"] = "ALL"
    width = 64 << 10
    where = f'<SourceFilename relativeToVRT="0">/vsicurl/{endpoint}/{bucket}/{key}</SourceFilename>'
    band = '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
    raster = f'<VRTDataset rasterXSize="{width}" rasterYSize="{int(size) // width}">{band}{where}'
    raw = f"<PixelOffset>1</PixelOffset><LineOffset>{width}</LineOffset></VRTRasterBand></VRTDataset>"
    dataset = rasterio.open(raster + raw)
    return lambda span: dataset.read(
        1, window=Window(0, span.start // width, width, len(span) // width)
    ).tobytes()


read = {"pyarrow": with_pyarrow, "gdal": with_gdal}[library]()
with Path(output).open("wb") as file:
    for start in reversed(range(0, int(size), STEP)):
        file.seek(start)
        file.write(read(range(start, min(start + STEP, int(size)))))
