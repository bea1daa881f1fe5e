"""make FILE, or read DATASET: writes a raster of four bands, or prints the checksum of a window of each."""

import sys

import numpy
import rasterio
from rasterio.windows import Window

SIDE = 512
OPTIONS = {"driver": "GTiff", "dtype": "uint8", "tiled": True, "blockxsize": 128, "blockysize": 128}

action, path = sys.argv[1:]
if action == "make":
    noise = numpy.random.default_rng(1).integers(0, 256, (4, SIDE, SIDE), dtype="uint8")
    with rasterio.open(path, "w", width=SIDE, height=SIDE, count=4, **OPTIONS) as raster:
        raster.write(noise)
else:
    with rasterio.open(path) as raster:
        print(raster.checksum(1), raster.checksum(4, window=Window(300, 300, 200, 200)), end="")
