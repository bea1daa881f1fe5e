"""The module itself: its size, and its callbacks compared with the empty filter's."""

from __future__ import annotations

from pathlib import Path

from stack import StackError
from stack.stack import WASM

from .measure import Measure, worst
from .native import EMPTY_FILTER

LARGEST = 512
"""kB."""

EXPORTS = 7
"""The id of a module's export section: WebAssembly core specification, 5.5.10."""


def size_of_module() -> list[Measure]:
    same = callbacks(WASM) == callbacks(EMPTY_FILTER)
    if not same:
        raise StackError(f"{EMPTY_FILTER} has other callbacks than {WASM}: a hit would not be comparable")
    return [worst("size of the module", [WASM.stat().st_size / 1000], LARGEST, "kB")]


def callbacks(wasm: Path) -> set[str]:
    """Names the functions that the host may call in a module."""
    module = wasm.read_bytes()
    position = 8
    while position < len(module):
        section = module[position]
        length, position = _number(module, position + 1)
        if section == EXPORTS:
            return {name for name in _names(module, position) if name.startswith("proxy_on_")}
        position += length
    return set()


def _names(module: bytes, position: int) -> list[str]:
    count, position = _number(module, position)
    names = []
    for _ in range(count):
        length, position = _number(module, position)
        names.append(module[position : position + length].decode())
        _, position = _number(module, position + length + 1)
    return names


def _number(module: bytes, position: int) -> tuple[int, int]:
    """Reads an LEB128 number, and returns its end."""
    value = shift = 0
    while True:
        byte = module[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
