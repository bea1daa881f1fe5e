"""Parts of a YAML file, with the comments that stand in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Part:
    """A value of the file: its lines, from `first` to `last`, and the column in which it begins."""

    node: yaml.Node
    first: int
    last: int
    column: int


class Source:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = text.splitlines()
        self._root = yaml.compose(text)

    def value(self, path: str) -> Any:
        """Returns what the value at the path is, aliases and all."""
        return yaml.SafeLoader("").construct_document(self.part(path).node)

    def text(self, path: str) -> list[str]:
        """Returns the lines of the value at the path, without their indentation; one line if it has one."""
        part = self.part(path)
        start, end = part.node.start_mark, part.node.end_mark
        if start.line == end.line:
            return [self._lines[start.line][start.column : end.column]]
        return self.lines(part)

    def lines(self, part: Part) -> list[str]:
        whole = self._lines[part.first : part.last + 1]
        cut = [line[part.column :] if not line[: part.column].strip() else line for line in whole]
        # A list's item begins behind its dash.
        cut[0] = whole[0][part.column :]
        try:
            yaml.safe_load("\n".join(cut))
        except yaml.YAMLError as error:
            raise LookupError(f"{self._name}, line {part.first + 1}, cannot stand alone: {error}") from error
        return cut

    def part(self, path: str) -> Part:
        """Finds the one value whose path has these steps, in this order, the last one last. A step is a key,
        or the `name` of a list's item: `origin/circuit_breakers`.
        """
        steps = path.split("/")
        found = {id(node): node for each, node in walk(self._root, ()) if _leads(each, steps)}
        if len(found) != 1:
            raise LookupError(f"{self._name} has {len(found)} values at {path}")
        (node,) = found.values()
        begin = node
        # An anchor stands before the first key.
        while isinstance(begin, yaml.MappingNode) and begin.value:
            begin = begin.value[0][0]
        return Part(node, begin.start_mark.line, _last(node), begin.start_mark.column)


def walk(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    yield path, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from walk(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from walk(item, (*path, _name(item) or str(number)))


def _name(item: yaml.Node) -> str | None:
    fields = item.value if isinstance(item, yaml.MappingNode) else []
    return next((value.value for key, value in fields if key.value == "name"), None)


def _leads(path: tuple[str, ...], steps: list[str]) -> bool:
    if path[-1:] != (steps[-1],):
        return False
    rest = iter(path)
    return all(step in rest for step in steps)


def _last(node: yaml.Node) -> int:
    """Returns the last line of a value. That of a block ends, for the parser, where the next one begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        *_, last = node.value
        key, value = last if isinstance(last, tuple) else (node, last)
        # An alias is a node of another place.
        return key.end_mark.line if value.start_mark.line < key.start_mark.line else _last(value)
    return node.end_mark.line if node.end_mark.column else node.end_mark.line - 1
