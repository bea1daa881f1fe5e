"""The solutions that people use or build today, as good as a page of code can make them, and set up like the
stack.
"""

from .system import OURS, SYSTEMS, System, start, unavailable

__all__ = ["OURS", "SYSTEMS", "System", "start", "unavailable"]
