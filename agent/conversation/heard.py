"""Which words of a turn lie within the audio that was played.

The Live API gives a turn's audio and its transcript as two streams without common timestamps.
Seen in the field: one to three words, then their audio, and so on (2.5 and 3.8); all text, then
all audio (Vertex); text after its audio. So each piece of text is remembered with the milliseconds
of audio that had come before it. Words are laid over the audio by their weight (a digit takes
longer to say than a letter, a full stop is a pause), and a piece's arrival is taken as the place
where it begins as long as it implies a humanly possible pace; where it does not (text far ahead,
or late), the weights alone decide.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

# Milliseconds per unit of weight (about a letter) until a call has taught us better.
# The bundled speech (flite, voice slt) measures 49 to 63; 150 English words a minute make 66.
DEFAULT_PACE_MS = 60.0
# A pace outside these bounds is no pace but an arrival that tells nothing.
_PLAUSIBLE = (0.5, 2.0)
# Less audio than this teaches nothing about the pace.
_TEACHING_MS = 1_000.0
# The playout counts whole 20 ms frames, resamplers hold a little back: "all" is all but this.
TOLERANCE_MS = 60.0

# Scripts written without spaces are cut between characters.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"\s*(?:[{_UNSPACED}][^\s\w]*|[^\s{_UNSPACED}]+)")
_PAUSES = {",": 2.0, ";": 3.0, ":": 3.0, ".": 5.0, "!": 5.0, "?": 5.0, "…": 5.0}
_PAUSES |= {"、": 2.0, "，": 2.0, "。": 5.0, "！": 5.0, "？": 5.0}


class SpokenText:
    """The text of one turn, piece by piece, each with the audio that had come before it."""

    __slots__ = ("_closed", "anchors", "text")

    def __init__(self) -> None:
        self.text = ""
        self.anchors: list[tuple[int, float]] = []
        """(offset into ``text``, milliseconds of audio when that piece arrived)."""
        self._closed = False

    def append(self, piece: str, at_ms: float = 0.0, *, finished: bool = False) -> None:
        """Add a piece; a space is put where two sentences would otherwise touch."""
        if piece:
            piece = join(self.text, piece, closed=self._closed)
            self.anchors.append((len(self.text), at_ms))
            self.text += piece
        self._closed = finished

    def take_back(self, pieces: int) -> None:
        """Undo the last ``append``s; the text then ends where the first of them began."""
        if pieces:
            self.text = self.text[: self.anchors[-pieces][0]]
            del self.anchors[-pieces:]
            self._closed = False


def join(before: str, piece: str, *, closed: bool = False) -> str:
    """Return ``piece`` as it is to follow ``before``.

    Pieces carry their own spaces word by word, but whole sentences come without.
    """
    if not before or before[-1].isspace() or piece[0].isspace():
        return piece
    sentence_ended = before[-1] in ".!?…" and piece[0].isupper()
    return f" {piece}" if closed or sentence_ended else piece


def pace_of(text: str, audio_ms: float) -> float | None:
    """Return milliseconds per unit of weight of a fully spoken turn; None if it teaches nothing."""
    weight = _weights(text)[-1]
    if audio_ms < _TEACHING_MS or weight <= 0:
        return None
    pace = audio_ms / weight
    low, high = (bound * DEFAULT_PACE_MS for bound in _PLAUSIBLE)
    return pace if low <= pace <= high else None


def is_whole(text: str, audio_ms: float) -> bool:
    """Whether ``text`` can be said in so little time; audio that broke off is shorter."""
    return audio_ms >= _PLAUSIBLE[0] * DEFAULT_PACE_MS * _weights(text)[-1]


def heard_text(
    spoken: SpokenText, *, heard_ms: float, audio_ms: float, complete: bool, pace_ms: float
) -> str:
    """Return the words whose audio ended within the first ``heard_ms`` of the turn.

    Args:
        spoken: The turn's text.
        heard_ms: How much of the turn's audio was played.
        audio_ms: How much of it there is.
        complete: Whether the model had finished the turn, so that text and audio end together.
        pace_ms: Milliseconds per unit of weight, used while the turn is not complete.
    """
    text = spoken.text
    if heard_ms <= 0 or not text:
        return ""
    if complete and heard_ms >= audio_ms - TOLERANCE_MS:
        return text
    weights = _weights(text)
    total = weights[-1]
    if total <= 0:
        return ""
    knots = _knots(spoken.anchors, weights, audio_ms, complete=complete, pace_ms=pace_ms)
    reached = _weight_at(knots, heard_ms + TOLERANCE_MS)
    end = 0
    for word in _WORD.finditer(text):
        if weights[_last_spoken(text, word.start(), word.end())] > reached:
            break
        end = word.end()
    return text[:end]


def _weights(text: str) -> list[float]:
    """Weight of everything before each offset; the pause that ends a text counts for nothing."""
    weights = [0.0]
    total = 0.0
    for char in text:
        if char.isdigit():
            total += 4.0
        elif "\u3040" <= char <= "\uffef":
            total += _PAUSES.get(char, 3.0)
        else:
            total += _PAUSES.get(char, 1.0)
        weights.append(total)
    last = _last_spoken(text, 0, len(text))
    return weights[: last + 1] + [weights[last]] * (len(text) - last)


def _last_spoken(text: str, start: int, end: int) -> int:
    """Offset behind the last letter or digit of ``text[start:end]``."""
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return end


def _knots(
    anchors: Sequence[tuple[int, float]],
    weights: Sequence[float],
    audio_ms: float,
    *,
    complete: bool,
    pace_ms: float,
) -> list[tuple[float, float]]:
    """(milliseconds, weight) pairs between which speech is taken to run evenly."""
    total = weights[-1]
    if complete:
        pace_ms = audio_ms / total
    else:
        # What this turn shows of its own pace counts for more than other turns'.
        offset, at_ms = anchors[-1]
        if at_ms >= _TEACHING_MS and weights[offset] > 0:
            own = at_ms / weights[offset]
            if _PLAUSIBLE[0] * pace_ms <= own <= _PLAUSIBLE[1] * pace_ms:
                pace_ms = own
    end_ms = pace_ms * total
    low, high = (bound * pace_ms for bound in _PLAUSIBLE)
    knots = [(0.0, 0.0)]
    for offset, at_ms in anchors:
        last_ms, last_weight = knots[-1]
        weight = weights[offset]
        behind, ahead = weight - last_weight, total - weight
        if behind <= 0 or not low * behind <= at_ms - last_ms <= high * behind:
            continue
        if complete and not low * ahead <= end_ms - at_ms <= high * ahead:
            continue
        knots.append((at_ms, weight))
    last_ms, last_weight = knots[-1]
    if not complete:
        end_ms = last_ms + pace_ms * (total - last_weight)
    if end_ms > last_ms:
        knots.append((end_ms, total))
    return knots


def _weight_at(knots: Sequence[tuple[float, float]], at_ms: float) -> float:
    index = bisect_left(knots, (at_ms, 0.0))
    if index >= len(knots):
        return knots[-1][1]
    if index == 0:
        return 0.0
    (left_ms, left), (right_ms, right) = knots[index - 1], knots[index]
    return left + (right - left) * (at_ms - left_ms) / (right_ms - left_ms)
