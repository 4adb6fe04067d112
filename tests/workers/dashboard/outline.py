"""A page as its elements, its text and its table rows."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

# Elements without an end tag (html.spec.whatwg.org, void elements).
_VOID = {"meta", "link", "br", "hr", "img", "input"}


class Outline(HTMLParser):
    """The elements of a page; asserts that each is closed by its own tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self._text += data + " "

    @property
    def text(self) -> str:
        """What is read, with single spaces."""
        return " ".join(self._text.split())


def rows_of(page: str) -> list[str]:
    """Each table row as text, with single spaces."""
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]
