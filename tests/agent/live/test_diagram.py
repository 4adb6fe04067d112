"""The page of the session's states."""

from __future__ import annotations

from pathlib import Path

from agent.live.diagram import page
from agent.live.lifecycle import TABLE

PAGE = Path(__file__).parents[3] / "infra" / "readme" / "session.md"


def test_page_is_as_the_table_says() -> None:
    """Who changes the table runs ``make docs``."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_page_has_a_row_for_every_row_of_the_table() -> None:
    """Nothing is left out, and every way from one state to another is drawn."""
    rows = sum(len(events) for events in TABLE.values())
    text = page()
    assert sum(line.startswith("| ") for line in text.splitlines()) == rows + 1
    for state, known in TABLE.items():
        for targets, _ in known.values():
            for target in targets:
                assert target is state or f"{state.value} --> {target.value}: " in text
