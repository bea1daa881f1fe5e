"""Every server that this machine may run, in the order of the table."""

from __future__ import annotations

from .ceph import Ceph
from .garage import Garage
from .local import Local
from .of_go import Minio, Versitygw
from .of_python import Moto, Rclone
from .s3rver import S3rver
from .seaweedfs import Seaweed
from .swift import Swift

SERVERS: tuple[type[Local], ...] = (Seaweed, Minio, Garage, Ceph, Swift, Versitygw, Moto, Rclone, S3rver)

__all__ = ["SERVERS", "Local"]
