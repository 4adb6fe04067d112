"""Heights of the plot of the context: its scale, its limits, the corners of its curve."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.conversation.record import ContextRecord, ContextSample

# A limit so many times as high as the curve still leaves a curve to be read.
_FITS_TIMES = 2.5
# Room above the highest line, for its label.
_HEADROOM = 1.14
_TICKS = 4
# More would be closer together than a pixel on a wide screen.
MOST_SAMPLES = 1200


@dataclass(frozen=True, slots=True)
class Limit:
    """A size at which something happens."""

    kind: str
    tokens: int
    title: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Heights of tokens, from 0 to ``top``."""

    top: float

    def share(self, tokens: float) -> float:
        """Tokens as per cent of the height, within it."""
        return 100 * min(max(tokens, 0.0), self.top) / self.top

    @property
    def ticks(self) -> list[float]:
        """Round numbers, about four of them, none at the very top."""
        rough = self.top / _TICKS
        power = 10 ** math.floor(math.log10(rough))
        step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= 0.85 * rough)
        return [
            number * step for number in range(1, 2 * _TICKS) if number * step <= 0.92 * self.top
        ]


@dataclass(frozen=True, slots=True)
class Corner:
    """Where the curve bends."""

    at_s: float
    tokens: float
    reported: bool


def limits_of(context: ContextRecord) -> list[Limit]:
    """Window, trigger and target, as far as there are any; the highest first."""
    found = (
        ("window", context.window_tokens, "all that the model can hold"),
        ("trigger", context.trigger_tokens, "the server cuts when a turn begins with more"),
        ("target", context.target_tokens, "about what a cut leaves"),
    )
    return [Limit(kind, tokens, title) for kind, tokens, title in found if tokens]


def scale_of(context: ContextRecord) -> Scale:
    """A scale over everything that was held, and over limits that do not press it flat."""
    most = max(
        [1, *(sample.tokens for sample in context.samples)]
        + [cut.before_tokens for cut in context.cuts]
    )
    fitting = [limit.tokens for limit in limits_of(context) if limit.tokens <= _FITS_TIMES * most]
    return Scale(max([most, *fitting]) * _HEADROOM)


def thinned(samples: Sequence[ContextSample], most: int = MOST_SAMPLES) -> list[ContextSample]:
    """Samples that draw the same curve: of each short while the first, least, most and last."""
    if len(samples) <= most:
        return list(samples)
    step = math.ceil(4 * len(samples) / most)
    kept: list[ContextSample] = []
    for start in range(0, len(samples), step):
        part = range(start, min(start + step, len(samples)))
        by_tokens = sorted(part, key=lambda number: samples[number].tokens)
        shown = {part[0], by_tokens[0], by_tokens[-1], part[-1]}
        kept += [samples[number] for number in sorted(shown)]
    return kept


def corners_of(samples: Sequence[ContextSample], context: ContextRecord) -> list[Corner]:
    """Samples and cuts in order; a cut bends twice at its own time, so that it is a drop.

    A sample of the same moment is put on the side of the cut whose size is nearer to its own.
    """
    found = [(sample.at_s, 0, _corner(sample)) for sample in samples]
    for cut in context.cuts:
        middle = (cut.before_tokens + cut.after_tokens) / 2
        found = [
            (at_s, 3 if at_s == cut.at_s and corner.tokens < middle else side, corner)
            for at_s, side, corner in found
        ]
        found.append((cut.at_s, 1, Corner(cut.at_s, cut.before_tokens, reported=True)))
        found.append((cut.at_s, 2, Corner(cut.at_s, cut.after_tokens, reported=True)))
    return [corner for _, _, corner in sorted(found, key=lambda placed: placed[:2])]


def held_at(corners: Sequence[Corner], at_s: float) -> float:
    """How high the curve is at a moment."""
    after = bisect.bisect_right([corner.at_s for corner in corners], at_s)
    if after in (0, len(corners)):
        return corners[0 if after == 0 else -1].tokens
    a, b = corners[after - 1], corners[after]
    return a.tokens + (b.tokens - a.tokens) * (at_s - a.at_s) / (b.at_s - a.at_s)


def pieces(corners: Sequence[Corner]) -> tuple[list[tuple[Corner, Corner]], ...]:
    """Parts of the curve that a count of the server holds at one end at least, and the others."""
    held: list[tuple[Corner, Corner]] = []
    guessed: list[tuple[Corner, Corner]] = []
    for a, b in itertools.pairwise(corners):
        (held if a.reported or b.reported else guessed).append((a, b))
    return held, guessed


def _corner(sample: ContextSample) -> Corner:
    return Corner(sample.at_s, sample.tokens, sample.reported)
