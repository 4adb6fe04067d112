"""Handles: who may redeem them, and what they stand for."""

from __future__ import annotations

import pytest

from workers.twin.live_api.handles import HandleBook
from workers.twin.live_api.memory import BLANK, Snapshot
from workers.twin.live_api.messages import RefusedError

_MODEL = "models/gemini-3.8-live"


def nothing_open(number: int) -> bool:
    return False


def test_a_handle_gives_back_its_own_snapshot_more_than_once() -> None:
    """An older handle restores the older state."""
    book = HandleBook()
    first = book.issue(1, _MODEL, Snapshot(position=1))
    second = book.issue(1, _MODEL, Snapshot(position=2))
    assert first != second
    for connection in (2, 3):
        issued = book.redeem(first, connection, _MODEL, nothing_open)
        assert (issued.connection, issued.snapshot.position) == (1, 1)
    assert book.redeem(second, 4, _MODEL, nothing_open).snapshot.position == 2


def test_another_servers_handle_is_unknown() -> None:
    """Also where both servers have issued as many."""
    mine, other = HandleBook(), HandleBook()
    mine.issue(1, _MODEL, BLANK)
    handle = other.issue(1, _MODEL, BLANK)
    with pytest.raises(RefusedError) as refused:
        mine.redeem(handle, 2, _MODEL, nothing_open)
    assert refused.value.code == 1007


def test_a_handle_is_not_taken_for_another_model() -> None:
    """Everything in the setup may differ but the model."""
    book = HandleBook()
    handle = book.issue(1, _MODEL, BLANK)
    with pytest.raises(RefusedError) as refused:
        book.redeem(handle, 2, "models/other", nothing_open)
    assert refused.value.code == 1007


def test_no_connection_of_the_session_may_be_open() -> None:
    """Neither the one that issued the handle nor one that resumed from it; others do not matter."""
    book = HandleBook()
    first = book.issue(1, _MODEL, BLANK)
    book.issue(2, _MODEL, BLANK)
    book.redeem(first, 3, _MODEL, lambda number: number == 2)
    second = book.issue(3, _MODEL, BLANK)
    for handle in (first, second):
        for open_ in (1, 3):
            with pytest.raises(RefusedError) as refused:
                book.redeem(handle, 4, _MODEL, lambda number, open_=open_: number == open_)  # type: ignore[misc]  # bound to this turn of the loop
            assert refused.value.code == 1011


def test_forgotten_connection_leaves_no_handle() -> None:
    """Those of others stay, of its own session too."""
    book = HandleBook()
    first = book.issue(1, _MODEL, BLANK)
    other = book.issue(2, _MODEL, BLANK)
    book.redeem(first, 3, _MODEL, nothing_open)
    later = book.issue(3, _MODEL, Snapshot(position=3))
    book.forget({1, 9})
    with pytest.raises(RefusedError) as refused:
        book.redeem(first, 4, _MODEL, nothing_open)
    assert refused.value.code == 1007
    assert book.redeem(later, 4, _MODEL, nothing_open).snapshot.position == 3
    with pytest.raises(RefusedError):
        book.redeem(later, 5, _MODEL, lambda number: number == 4)
    book.redeem(other, 6, _MODEL, nothing_open)
