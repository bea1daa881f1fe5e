"""The starter of everything that mirror-on-miss needs on one machine: for `make run`, and for the tests.

    with SeaweedFS(run_dir) as store, Stack(run_dir, origin="http://127.0.0.1:9999", store=store) as stack:
        stack.url

Children die with the thread that started them (see `children`). Start a stack from a thread that outlives it.
"""

from .children import Child, StackError
from .envoy import Envoy
from .origins import OriginAccess
from .seaweedfs import SeaweedFS
from .sigv4 import Credentials
from .stack import Stack
from .store import S3Store

__all__ = ["Child", "Credentials", "Envoy", "OriginAccess", "S3Store", "SeaweedFS", "Stack", "StackError"]
