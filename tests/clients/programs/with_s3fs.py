"""operation endpoint bucket key output"""

import sys
from pathlib import Path

import s3fs

operation, endpoint, bucket, key, output = sys.argv[1:]
files = s3fs.S3FileSystem(endpoint_url=endpoint)
path = f"{bucket}/{key}"
if operation == "download":
    files.get_file(path, output)
elif operation == "head":
    Path(output).write_text(str(files.info(path)["size"]))
elif operation == "range":
    Path(output).write_bytes(files.cat_file(path, start=1000, end=2000))
else:
    with files.open(path) as file:
        Path(output).write_bytes(file.read())
