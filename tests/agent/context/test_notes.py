"""What operators and functions have added to a call."""

from __future__ import annotations

import pytest

from agent.context.notes import MAX_NOTES, Notes


def test_notes_of_an_earlier_worker_are_news_to_this_one() -> None:
    """A version above 0 has them told to the first connection."""
    notes = Notes.restored(["A regular."], "Be brief.")
    assert (notes.texts, notes.instruction, notes.version) == (["A regular."], "Be brief.", 1)
    notes.add("Speaks French.")
    assert notes.texts == ["A regular.", "Speaks French."]
    assert notes.version == 2


@pytest.mark.parametrize(("texts", "instruction"), [(["A regular."], None), ([], "Be brief.")])
def test_either_makes_them_news(texts: list[str], instruction: str | None) -> None:
    """Notes alone, or the instruction alone."""
    assert Notes.restored(texts, instruction).version == 1


def test_nothing_is_no_news() -> None:
    """A call without notes is opened as if nobody had looked for any."""
    assert Notes.restored((), None).version == 0


def test_oldest_note_goes() -> None:
    """The instruction has room for so many."""
    notes = Notes()
    for number in range(MAX_NOTES + 1):
        notes.add(f"Note {number}.")
    assert notes.texts[0] == "Note 1."
    assert len(notes.texts) == MAX_NOTES
