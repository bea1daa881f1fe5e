"""What people use or build today, as good as it can be in a page, and set up like the stack beside it."""

from .system import SYSTEMS, System, start, unavailable

__all__ = ["SYSTEMS", "System", "start", "unavailable"]
