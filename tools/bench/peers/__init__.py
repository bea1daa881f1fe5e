"""The solutions that people use or build today, as good as a page of code can make them, and set up like the
stack.
"""

from .system import SYSTEMS, System, start, unavailable

__all__ = ["SYSTEMS", "System", "start", "unavailable"]
