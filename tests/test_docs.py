"""The pages for people: short sentences, and links with a target."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability.shipped import documented_values
from stack.kinds import kinds

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").glob("**/*.md")),
]
MOST_WORDS = 40

NOT_TOLD = {"bucket_error", "not_the_bucket"}
"""Outcomes that the client does not see: it gets the bucket's answer as it is."""

Block = tuple[int, str]
"""The number of its first line, and text that no sentence goes beyond."""

_FENCE = re.compile(r"^\s*(```|~~~)")
_COMMENT = re.compile(r"<!--.*?-->")
_HTML = re.compile(r"^\s*<(?!http)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+|^\s*>\s?|^#+\s+")
_LINK = re.compile(r"!?\[([^\]]*)\]\((?P<to>[^)\s]+)\)")
_CODE = re.compile(r"(`+)(?:(?!\n\s*\n).)+?\1", re.DOTALL)
_ATTRIBUTE = re.compile(r'\b(?:src|srcset|href)="(?P<to>[^"]+)"')
_END = re.compile(r"(?<=[.!?])[\")*_]*\s+")


def _named(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_no_sentence_is_long(page: Path) -> None:
    long = [
        f"{_named(page)}:{line}: {len(words)} words: {' '.join(words[:8])} ..."
        for line, words in sentences(page.read_text())
        if len(words) > MOST_WORDS
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    nowhere = [
        f"{_named(page)}:{line}: {target}"
        for line, target in links(page.read_text())
        if not leads_somewhere(page, target)
    ]
    assert not nowhere, "\n".join(nowhere)


def test_each_outcome_is_an_answer_and_has_a_cause() -> None:
    answers = (CHECKOUT / "docs" / "answers.md").read_text()
    told = re.compile(r"^\|.*\| `(\w+)` \|$", re.MULTILINE).findall(answers.partition("## What is stored")[0])
    told += re.findall(r"`(\w+)`", answers.partition("carries the outcome, too:")[2].partition(".")[0])
    assert set(told) | NOT_TOLD == documented_values("outcome")
    assert not set(told) & NOT_TOLD


def test_each_variable_of_start_sh_is_on_the_page_of_deploying() -> None:
    script = (CHECKOUT / "envoy/configuration/start.sh").read_text()
    head = re.findall(r"^#   ([A-Z]\w+(?:, [A-Z]\w+)*)  ", script, re.MULTILINE)
    variables = {name for names in head for name in names.split(", ")}
    told = set(re.findall(r"`([A-Z]\w+)`", (CHECKOUT / "docs" / "deploy.md").read_text()))
    assert "ORIGIN_AUTH" in variables
    assert not variables - told


def test_the_kinds_of_stores_are_told_as_start_sh_has_them() -> None:
    page = (CHECKOUT / "docs" / "compatibility.md").read_text().partition("| `STORE_KIND` |")[2]
    rows = re.findall(r"^\| (`.*`) \| `(\S+)` \| `(path|virtual)` \|$", page, re.MULTILINE)
    told = {
        name: (condition, style)
        for names, condition, style in rows
        for name in names.replace("`", "").split(", ")
    }
    assert told == kinds()


def test_a_sentence_ends_with_its_block_its_cell_or_a_full_stop() -> None:
    text = "# One two\nthree `f. g` four.\nFive\nsix: [seven eight](a.md)\n- nine\n\n| a | b c. D |\n"
    found = [(line, len(words)) for line, words in sentences(text)]
    assert found == [(1, 2), (2, 3), (3, 4), (5, 1), (7, 1), (7, 2), (7, 1)]


def test_code_has_neither_sentences_nor_links() -> None:
    text = "```\n[a](b.md) c\n```\n`[d](e.md)` [f\n i](g.md#h)\n"
    assert [words for _, words in sentences(text)] == [["code", "f", "i"]]
    assert list(links(text)) == [(5, "g.md#h")]


def sentences(text: str) -> Iterator[tuple[int, list[str]]]:
    """Returns each sentence as its words, with the line on which it begins. Code within a line is one
    word.
    """
    for line, block in blocks(text):
        plain = _LINK.sub(r"\1", _without_code(block, "code"))
        begin = 0
        for end in [*(match.end() for match in _END.finditer(plain)), len(plain)]:
            sentence = plain[begin:end]
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            if words:
                yield line + plain.count("\n", 0, begin), words
            begin = end


def blocks(text: str) -> Iterator[Block]:
    """Returns paragraphs, items of lists, headings and cells of tables."""
    begin, lines = 0, [""]
    for number, line in _prose(text):
        is_heading = line.startswith("#")
        if lines[0] and (not line.strip() or _ITEM.match(line) or line.lstrip().startswith("|")):
            yield begin, "\n".join(lines)
            lines = [""]
        if line.lstrip().startswith("|"):
            yield from ((number, cell) for cell in _cells(line))
        elif line.strip():
            plain = _ITEM.sub("", line)
            begin, lines = (begin, [*lines, plain]) if lines[0] else (number, [plain])
        if is_heading:
            yield begin, "\n".join(lines)
            lines = [""]
    if lines[0]:
        yield begin, "\n".join(lines)


def _cells(row: str) -> list[str]:
    return [cell.replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Returns numbered lines; those of code, comments and HTML are empty."""
    for number, line in enumerate(_unfenced(text), start=1):
        plain = _COMMENT.sub("", line)
        yield number, "" if _HTML.match(plain) else plain


def _unfenced(text: str) -> Iterator[str]:
    """Returns the lines; those of blocks of code are empty."""
    fenced = False
    for line in text.splitlines():
        is_fence = bool(_FENCE.match(line))
        yield "" if fenced or is_fence else line
        fenced = fenced != is_fence


def links(text: str) -> Iterator[tuple[int, str]]:
    """Returns the targets of links, images and HTML, except within code."""
    prose = _without_code("\n".join(_unfenced(text)), "")
    for pattern in (_LINK, _ATTRIBUTE):
        yield from ((prose.count("\n", 0, match.end()) + 1, match["to"]) for match in pattern.finditer(prose))


def _without_code(text: str, instead: str) -> str:
    """Returns the text with as many lines, and a word in place of each code within a line."""
    return _CODE.sub(lambda code: instead + "\n" * code[0].count("\n"), text)


def leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    return file.exists() and (not anchor or file.suffix != ".md" or anchor in anchors(file.read_text()))


def anchors(text: str) -> set[str]:
    """Returns its headings as GitHub makes anchors of them."""
    headings = [line for _, line in _prose(text) if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-") for line in headings}
