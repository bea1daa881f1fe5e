"""operation endpoint bucket key output"""

import shutil
import sys
from pathlib import Path

from pyarrow.fs import S3FileSystem

operation, endpoint, bucket, key, output = sys.argv[1:]
files = S3FileSystem(endpoint_override=endpoint)
path = f"{bucket}/{key}"
if operation == "download":
    with files.open_input_stream(path) as stream, open(output, "wb") as file:
        shutil.copyfileobj(stream, file)
elif operation == "head":
    Path(output).write_text(str(files.get_file_info(path).size))
else:
    with files.open_input_file(path) as file:
        Path(output).write_bytes(file.read_at(1000, 1000) if operation == "range" else file.read())
