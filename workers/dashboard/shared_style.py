"""What pages look like: colours in light and dark, headings, tiles, cards; plots and tables."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def shared_style() -> str:
    """The style sheet that comes before a page's own."""
    return _asset("base.css")


@cache
def plot_style() -> str:
    """What pages with plots over many calls have between the two."""
    return _asset("plots.css")


def _asset(name: str) -> str:
    return (resources.files("workers.dashboard") / "page_assets" / name).read_text(encoding="utf-8")
