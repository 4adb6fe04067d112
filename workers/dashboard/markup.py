"""HTML elements in which everything is escaped unless it is itself markup."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

# What HTML may not carry even as a character reference (html.spec.whatwg.org, parse error
# control-character-in-input-stream), and halves of surrogate pairs, which UTF-8 cannot carry.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Markup(str):
    """HTML that is safe as it stands."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """``text`` as it can stand in an element or a quoted attribute; ``Markup`` is left alone."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)))


def element(
    name: str, attributes: Mapping[str, str | float | bool] | None = None, *children: str
) -> Markup:
    """One element with its children.

    Args:
        name: The tag.
        attributes: ``True`` makes a bare attribute, ``False`` or an empty text leaves it out.
        children: Text, which is escaped, or ``Markup``.
    """
    parts = [f"<{name}"]
    for key, value in (attributes or {}).items():
        if value is True:
            parts.append(f" {key}")
        elif value is not False and value != "":
            parts.append(f' {key}="{escaped(str(value))}"')
    parts.append(">")
    parts.extend(escaped(child) for child in children)
    parts.append(f"</{name}>")
    return Markup("".join(parts))


def joined(*parts: str) -> Markup:
    """Several pieces of text or markup, one after the other."""
    return Markup("".join(escaped(part) for part in parts))
