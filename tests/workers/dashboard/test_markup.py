"""Nothing but markup passes unescaped."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from workers.dashboard.markup import Markup, element, escaped, joined


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text(min_size=1))
def test_any_text_is_text_again(text: str, attribute: str) -> None:
    """Any text, as a child or an attribute, makes one element and encodes as UTF-8."""
    markup = element("p", {"title": attribute}, text)
    reader = _Reader()
    reader.feed(markup.encode().decode())
    reader.close()
    assert reader.tags == ["p"]
    assert [name for name, _ in reader.attributes] == ["title"]
    if text.isprintable():
        assert reader.text == text
    if attribute.isprintable():
        assert reader.attributes[0][1] == attribute


def test_markup_is_not_escaped_twice() -> None:
    """An element inside an element stays an element."""
    assert element("p", None, element("b", None, "<")) == "<p><b>&lt;</b></p>"
    assert joined("&", Markup("<br>")) == "&amp;<br>"


def test_attributes_may_be_bare_or_left_out() -> None:
    """``True`` is a bare attribute, ``False`` and an empty text are none."""
    markup = element("audio", {"controls": True, "loop": False, "title": "", "data-n": 0})
    assert markup == '<audio controls data-n="0"></audio>'


def test_control_characters_are_replaced() -> None:
    """A character that HTML does not allow becomes the replacement character."""
    assert escaped("a\x00b\ud800c") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
