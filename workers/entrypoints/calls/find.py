"""Which call, or which worker, an operator means by a few characters, and where it stands."""

from __future__ import annotations

from collections.abc import Collection

from telephony.calls.status import CallStatus
from workers.call.entry import CallState
from workers.store.calls import CallRow, CallStore, StoredCall

# Fewer would soon mean another call than the one on the screen.
LEAST_CHARS = 4
# More than any database of workers has at once; what lies beyond is not found by a part of its SID.
MOST_LIVE = 1_000
DEADLINE_S = 5.0
_OVER = frozenset(status.value for status in CallStatus if status.terminal)
_NAMED = 5


class Failed(Exception):
    """What was asked for was not done, and why, in a sentence; with the command's exit code."""

    def __init__(self, sentence: str, *, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


async def find_call(store: CallStore, text: str) -> StoredCall:
    """The call with this SID, or the live call whose SID begins or ends with it.

    Raises:
        Failed: there is none, or there are several.
        StoreUnavailable: the store does not answer.
    """
    exact = await store.load_call(text, deadline_s=DEADLINE_S)
    if exact is not None:
        return exact
    calls = {
        call.row.call_sid: call
        for call in await store.list_calls(limit=MOST_LIVE, live=True, deadline_s=DEADLINE_S)
    }
    found = meant(text, calls, "call", "live call")
    return calls[found]


def meant(text: str, names: Collection[str], thing: str, things: str = "") -> str:
    """The one of ``names`` that is, begins with or ends with ``text``.

    Raises:
        Failed: there is none, or there are several.
    """
    if text in names:
        return text
    if len(text) < LEAST_CHARS:
        raise Failed(f"{text!r} is too short to tell one {thing} from another", code=2)
    folded = text.casefold()
    found = [
        name
        for name in names
        if name.casefold().startswith(folded) or name.casefold().endswith(folded)
    ]
    if not found:
        # By its whole SID, a call that is over would have been found.
        raise Failed(f"There is no {things or thing} {text}.")
    if len(found) > 1:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise Failed(f"{text} may be any of: {', '.join(found[:_NAMED])}{more}", code=2)
    return found[0]


def is_over(row: CallRow) -> bool:
    """Whether nobody will speak to the caller any more."""
    return row.status in _OVER or row.state in (CallState.FINISHED, CallState.APOLOGY)


def state_words(row: CallRow) -> str:
    """Where a call stands, in a word or two."""
    if row.status in _OVER:
        return "over" if row.status == CallStatus.COMPLETED else row.status
    return row.state.replace("_", " ")
