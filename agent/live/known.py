"""What the newest handle of a session knows of its call, as another worker can be told it.

Turns are counted from the beginning of the call, those of earlier streams included: their serials
mean nothing to another worker. It is asked for once a second, also in a call of an hour: what
cannot change any more is put together once.
"""

from __future__ import annotations

from agent.checkpoint import SessionCheckpoint
from agent.conversation.transcript import OPEN_TURNS, Transcript

Key = tuple[str, int | str]
"""Which turn or function: ``turn`` and its serial, or ``before`` and its place where an earlier
stream had it; ``tool`` or ``tool before`` and the id of the call."""


class Known:
    """What the newest handle knows, and what stands in the instruction alone.

    Args:
        transcript: Of this stream.
        before: How many turns earlier streams had.
        checkpoint: Of the session that is gone on with, if there was one.
    """

    def __init__(
        self, transcript: Transcript, before: int, checkpoint: SessionCheckpoint | None
    ) -> None:
        self.told: frozenset[Key] = frozenset()
        """What the instruction tells, and a handle would not bring back."""
        self.since_s = 0.0
        """When the handle came."""
        self._transcript = transcript
        self._before = before
        self._known_before = 0
        self._mark = 0
        self._told_turns: tuple[int, ...] | None = None
        if checkpoint is not None:
            self.since_s = checkpoint.handle_s
            self._known_before = min(before, checkpoint.known_turns)
            self.told = frozenset(
                [
                    *(("before", place) for place in checkpoint.told_turns if place < before),
                    *(("tool before", call_id) for call_id in checkpoint.told_tools),
                ]
            )
        self.told_tools = _tools_of(self.told)
        """Ids of the functions that stand in the instruction."""

    def handle_came(self, now_s: float) -> None:
        """The server took a snapshot: it knows everything up to here.

        What earlier streams had the connection knows in any case: by its handle, or because it was
        told when it was opened.
        """
        self._mark = self._transcript.mark()
        self._known_before = self._before
        self.since_s = now_s

    def opened(self, told: frozenset[Key]) -> None:
        """A connection serves whose instruction tells this."""
        self.told = told
        self._told_turns = None
        self.told_tools = _tools_of(told)

    @property
    def turns(self) -> int:
        """So many turns of the call the handle knows, from the first on."""
        place = self._transcript.place_of(self._mark) if self._mark else None
        return self._known_before if place is None else self._before + place + 1

    @property
    def told_turns(self) -> tuple[int, ...]:
        """Places of the turns that stand in the instruction."""
        if self._told_turns is not None:
            return self._told_turns
        places: list[int] = []
        settled = True
        for kind, which in self.told:
            if kind == "before" and isinstance(which, int):
                places.append(which)
            elif kind == "turn" and isinstance(which, int):
                place = self._transcript.place_of(which)
                if place is None:
                    continue
                places.append(self._before + place)
                settled = settled and place < len(self._transcript) - OPEN_TURNS
        found = tuple(sorted(places))
        if settled:
            self._told_turns = found
        return found


def _tools_of(told: frozenset[Key]) -> tuple[str, ...]:
    return tuple(sorted(str(which) for kind, which in told if kind.startswith("tool")))
