"""operation endpoint bucket key output"""

import sys
from pathlib import Path

import boto3

operation, endpoint, bucket, key, output = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint)
if operation == "download":
    s3.download_file(bucket, key, output)
elif operation == "head":
    Path(output).write_text(str(s3.head_object(Bucket=bucket, Key=key)["ContentLength"]))
else:
    span = {"Range": "bytes=1000-1999"} if operation == "range" else {}
    Path(output).write_bytes(s3.get_object(Bucket=bucket, Key=key, **span)["Body"].read())
