"""endpoint bucket key output: downloads a file with ten connections, at 1.5 MB/s in all."""

import sys

import boto3
from boto3.s3.transfer import TransferConfig

endpoint, bucket, key, output = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint)
s3.download_file(bucket, key, output, Config=TransferConfig(max_bandwidth=1_500_000))
