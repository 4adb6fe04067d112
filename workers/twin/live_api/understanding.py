"""Recognises what a caller says by the position codes in the audio.

A model that plays a script answers by counting, so that audio replayed after a move would count as
something new. Audio with position codes can be told apart: an utterance heard again, on whichever
connection, is the same utterance and gets the same turn of the script; a new one gets the next turn
that none has had.
"""

from __future__ import annotations

from workers.twin.position_code import CODES, Found, decode

# Enough of an utterance's middle to tell whether it has codes at all.
_PROBE_MS = 200
_QUARTER = CODES // 4

Codes = tuple[int, int]
"""The first and the last position code of an utterance."""


def codes_of(pcm: bytes, rate_hz: int) -> Codes | None:
    """Return the position codes of an utterance, PCM16; None where it has none."""
    if rate_hz % 1000 or rate_hz < 8000:
        return None
    samples = len(pcm) // 2
    probe = rate_hz * _PROBE_MS // 1000
    start = max(0, (samples - probe) // 2)
    if not decode(pcm[start * 2 : (start + probe) * 2], rate_hz=rate_hz):
        return None
    # Both ends are enough, and cost a third; nobody hears anything while this one listens.
    if samples > 2 * probe:
        head = decode(pcm[: probe * 2], rate_hz=rate_hz)
        begin = (samples - probe) // (rate_hz // 1000) * (rate_hz // 1000)
        tail = decode(pcm[begin * 2 : samples * 2], rate_hz=rate_hz)
        # Where it was cut, a frame may be there in part.
        firsts = _sure(_before_last(head))
        lasts = _sure(_before_last(tail[::-1])[::-1])
        if firsts and lasts:
            return firsts[0], lasts[-1]
    sure = _sure(decode(pcm[: samples * 2], rate_hz=rate_hz))
    return (sure[0], sure[-1]) if sure else None


def _sure(found: list[Found]) -> list[int]:
    """Return the codes that have their neighbour; one without is noise that looked like it."""
    if not found:
        return []
    return [
        one.code
        for before, one, after in zip([None, *found[:-1]], found, [*found[1:], None], strict=True)
        if (before is not None and (before.code + 1) % CODES == one.code)
        or (after is not None and (one.code + 1) % CODES == after.code)
    ]


def _before_last(found: list[Found]) -> list[Found]:
    """Return what comes before the last code, however often that was found."""
    size = len(found)
    while size and found[size - 1].code == found[-1].code:
        size -= 1
    return found[:size]


def all_codes(pcm: bytes, rate_hz: int) -> list[int]:
    """Return every position code in PCM16, in order."""
    return [found.code for found in decode(pcm[: len(pcm) & ~1], rate_hz=rate_hz)]


class Understanding:
    """Which turn of the script each utterance got, on all connections of one server."""

    def __init__(self) -> None:
        self._heard: list[tuple[int, int, int]] = []
        self._newest = 0
        self._next = 0

    def turn(self, codes: Codes | None, position: int) -> int:
        """Return the turn of the script for an utterance.

        Args:
            codes: Its position codes; without them it is taken for what comes at ``position``.
            position: The turn that comes next as far as this connection can tell.
        """
        if codes is None:
            if self._heard:
                self._next = max(self._next, position + 1)
            return position
        first, last = self._range(codes)
        turn = self._known(first, last)
        if turn is None:
            turn = max(self._next, position) if not self._heard else self._next
            self._next = turn + 1
        self._heard.append((first, last, turn))
        return turn

    def goes_on(self, codes: Codes | None, turn: int | None) -> bool:
        """Take an utterance for the rest of the one that got ``turn``: there was only a pause.

        Returns:
            Whether it is; no, if it was heard before and got another turn.
        """
        if codes is None or turn is None:
            return True
        first, last = self._range(codes)
        known = self._known(first, last)
        if known is None:
            self._heard.append((first, last, turn))
        return known is None or known == turn

    def _known(self, first: int, last: int) -> int | None:
        return next((t for a, b, t in self._heard if a <= last and first <= b), None)

    def _range(self, codes: Codes) -> Codes:
        """Count on where the codes start again from 0."""
        first, last = codes
        lap = self._newest - self._newest % CODES
        newest = self._newest % CODES
        if newest >= 3 * _QUARTER and first < _QUARTER:
            lap += CODES
        elif newest < _QUARTER and first >= 3 * _QUARTER and lap:
            lap -= CODES
        first += lap
        last = first + (last - codes[0]) % CODES
        self._newest = max(self._newest, last)
        return first, last
