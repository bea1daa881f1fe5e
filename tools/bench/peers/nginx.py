"""nginx with `error_page` and `proxy_store`, or with `proxy_cache`: it keeps its objects on its own disk, not
in a bucket.
"""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from pathlib import Path

from stack import Child
from stack.children import free_ports

CONFIG = """
daemon off;
{user}
worker_processes {workers};
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log {dir}/access.log;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/temp;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  types {{ image/jpeg jpg; }}
  upstream origin {{ server {origin}; keepalive 64; }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  {cache}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    {server}
  }}
}}
"""

STORE = """
    root {dir}/data;
    log_not_found off;
    error_page 404 = @fetch;
    location @fetch {{
      proxy_pass http://origin;
      proxy_store on;
      proxy_store_access user:rw group:r all:r;
    }}
"""

CACHE_ZONE = "proxy_cache_path {dir}/cache levels=1:2 keys_zone=objects:16m max_size=64g;"
CACHE = """
    location / {{
      proxy_pass http://origin;
      proxy_cache objects;
      proxy_cache_valid 200 1h;
      proxy_cache_lock on;
    }}
"""
"""The lock has its default of 5 s: who waits longer reads the origin, too."""


def binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def missing() -> str | None:
    return None if binary() else "not measured: no nginx here; on Debian and Ubuntu, apt install nginx-light"


class Nginx:
    """Runs between entry and exit."""

    def __init__(self, run_dir: Path, origin: str, workers: int, *, caches: bool = False) -> None:
        (run_dir / "data").mkdir(parents=True)
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._dir = run_dir
        # Where the master is root its workers would be nobody, who may not write here.
        user = "user root;" if Path.home().owner() == "root" else ""
        authority = origin.removeprefix("http://")
        config = CONFIG.format(
            dir=run_dir,
            port=self._port,
            origin=authority,
            workers=workers,
            user=user,
            cache=CACHE_ZONE.format(dir=run_dir) if caches else "",
            server=(CACHE if caches else STORE).format(dir=run_dir),
        )
        (run_dir / "nginx.conf").write_text(config)

    def __enter__(self) -> Nginx:
        argv = [binary() or "nginx", "-p", self._dir, "-c", self._dir / "nginx.conf"]
        self.child = Child("nginx", argv, cwd=self._dir, stderr=self._dir / "log")
        self.child.wait_until(self._listens, timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False
