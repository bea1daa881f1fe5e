"""make FILE, or read URL ENDPOINT: writes a table as Parquet, or prints two sums over one column of it."""

import importlib.metadata
import sys
from urllib.parse import urlsplit

import duckdb

action, path, *endpoint = sys.argv[1:]
if action == "make":
    rows = "SELECT i, hash(i) AS unread, i * 3 AS tripled FROM range(300_000) AS t(i)"
    duckdb.sql(f"COPY ({rows}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 50_000)")
else:
    # The wheel carries DuckDB's own signed file. DuckDB would load it from its site.
    files = importlib.metadata.files("duckdb-extension-httpfs") or []
    (extension,) = (each.locate() for each in files if each.suffix == ".duckdb_extension")
    duckdb.sql(f"LOAD '{extension}'")
    for url in endpoint:
        secret = "TYPE s3, KEY_ID 'anything', SECRET 'anything-at-all', REGION 'us-east-1'"
        where = f"ENDPOINT '{urlsplit(url).netloc}', URL_STYLE 'path', USE_SSL false"
        duckdb.sql(f"CREATE SECRET ({secret}, {where})")
    print(duckdb.sql(f"SELECT sum(tripled), max(tripled) FROM read_parquet('{path}')").fetchone(), end="")
