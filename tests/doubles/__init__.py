"""Stand-ins for servers that the tests cannot have: AWS itself, and an origin that misbehaves on demand."""

from .scripted_origin import ScriptedOrigin
from .strict_bucket import StrictBucket

__all__ = ["ScriptedOrigin", "StrictBucket"]
