"""operation endpoint bucket key output"""

import sys
from pathlib import Path

import obstore
from obstore.store import S3Store

operation, endpoint, bucket, key, output = sys.argv[1:]
store = S3Store(bucket, endpoint=endpoint, skip_signature=True, client_options={"allow_http": True})
if operation == "download":
    with open(output, "wb") as file:
        for chunk in obstore.get(store, key).stream():
            file.write(chunk)
elif operation == "head":
    Path(output).write_text(str(obstore.head(store, key)["size"]))
elif operation == "range":
    Path(output).write_bytes(bytes(obstore.get_range(store, key, start=1000, end=2000)))
else:
    Path(output).write_bytes(bytes(obstore.get(store, key).bytes()))
