"""What all pages look like: colours in light and dark, headings, tiles, cards."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def shared_style() -> str:
    """The style sheet that comes before a page's own."""
    return (resources.files("workers.dashboard") / "page_assets" / "base.css").read_text(
        encoding="utf-8"
    )
