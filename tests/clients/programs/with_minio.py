"""operation endpoint bucket key output"""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio

operation, endpoint, bucket, key, output = sys.argv[1:]
# No region is given, so it asks for the bucket's.
client = Minio(urlsplit(endpoint).netloc, access_key="anything", secret_key="anything-at-all", secure=False)
if operation == "download":
    client.fget_object(bucket, key, output)
elif operation == "head":
    Path(output).write_text(str(client.stat_object(bucket, key).size))
else:
    span = {"offset": 1000, "length": 1000} if operation == "range" else {}
    Path(output).write_bytes(client.get_object(bucket, key, **span).read())
