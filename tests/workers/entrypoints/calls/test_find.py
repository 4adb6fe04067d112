"""A few characters of a live call's SID are enough to name it, and never name another one."""

from __future__ import annotations

import pytest

from tests.fakes.store import MemoryCallStore
from tests.workers.entrypoints.calls.samples import CALL, OTHER, call_row
from workers.entrypoints.calls.find import Failed, find_call, is_over, meant, state_words


@pytest.fixture
def store() -> MemoryCallStore:
    made = MemoryCallStore()
    made.save_call(call_row())
    made.save_call(call_row(OTHER))
    made.save_call(call_row("CA" + "9" * 32, owner="", state="finished", status="completed"))
    return made


@pytest.mark.parametrize("text", [CALL, CALL[:6], CALL[-4:], CALL[:5].lower()])
async def test_call_is_found_by_its_beginning_or_end(store: MemoryCallStore, text: str) -> None:
    """Whatever the case of its letters."""
    assert (await find_call(store, text)).row.call_sid == CALL


async def test_call_that_is_over_is_found_by_its_whole_sid_alone(store: MemoryCallStore) -> None:
    """There may be thousands."""
    assert (await find_call(store, "CA" + "9" * 32)).row.state == "finished"
    with pytest.raises(Failed, match="There is no live call CA999"):
        await find_call(store, "CA999")


async def test_characters_that_several_calls_share_name_none(store: MemoryCallStore) -> None:
    """The command was wrong, and it says which calls there are."""
    store.save_call(call_row("CAfe" + "1" * 30))
    with pytest.raises(Failed, match="CAfe may be any of: ") as caught:
        await find_call(store, "CAfe")
    assert caught.value.code == 2
    assert CALL in str(caught.value)


def test_many_that_are_meant_are_not_all_named() -> None:
    """A screen full of SIDs helps nobody."""
    with pytest.raises(Failed, match=r"and 3 more$"):
        meant("CA00", [f"CA00{number}" for number in range(8)], "call")


@pytest.mark.parametrize("text", ["", "CA", "210"])
async def test_too_few_characters_are_refused(store: MemoryCallStore, text: str) -> None:
    """Soon they would mean another call."""
    with pytest.raises(Failed, match="is too short to tell one call from another") as caught:
        await find_call(store, text)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("state", "status", "over", "words"),
    [
        ("in_progress", "in-progress", False, "in progress"),
        ("handed_over", "in-progress", False, "handed over"),
        ("transfer", "in-progress", False, "transfer"),
        ("finished", "in-progress", True, "finished"),
        ("apology", "in-progress", True, "apology"),
        ("in_progress", "completed", True, "over"),
        ("ringing", "no-answer", True, "no-answer"),
    ],
)
def test_call_is_over_where_its_state_or_its_status_says_so(
    state: str, status: str, over: bool, words: str
) -> None:
    """Twilio may say so first, or the agent."""
    row = call_row(state=state, status=status)
    assert (is_over(row), state_words(row)) == (over, words)
