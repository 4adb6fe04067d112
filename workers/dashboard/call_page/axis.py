"""Places on the time axis of a call: lanes, marks with their labels, the ruler.

Places are per cent of the axis, so that a drawing stretches to any width, on paper too, and needs
no script.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.dashboard.markup import Markup, element, joined
from workers.dashboard.story import at

# Room for labels: the drawing is at least this wide, and scrolls where the screen is narrower.
PX_PER_S = 12
LEAST_PX, MOST_PX = 560, 1150
# Narrower than this the labels are left out, until somebody zooms in; ``page.js`` has the same.
CROWDED_PX_PER_S = 6
# Wide enough for the page's font at its label size.
_PX_PER_LETTER = 7
_LABEL_GAP_PX = 8
_MOST_ROWS = 4
# Named ticks, and the small ones between them; a call lasts 24 hours at most
# (twilio.com/docs/voice/api/call-resource, TimeLimit).
_STEPS_S = (
    (1, 0.2), (2, 0.5), (5, 1), (10, 2), (15, 5), (30, 5), (60, 10), (120, 30), (300, 60),
    (600, 120), (1800, 600), (7200, 1800),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the drawing, ``rows`` labels high."""

    name: str
    kind: str
    content: Markup
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a time, or lasted a while, with its label beside it."""

    from_s: float
    until_s: float
    label: str
    title: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis, from 0 to ``until_s``."""

    until_s: float

    @property
    def width_px(self) -> float:
        """The least width at which labels are laid out."""
        return max(LEAST_PX, min(MOST_PX, self.until_s * PX_PER_S))

    @property
    def crowded(self) -> bool:
        """Whether labels have no room at the least width."""
        return self.width_px / self.until_s < CROWDED_PX_PER_S

    def share(self, seconds: float) -> float:
        """A time as per cent of the axis, within it."""
        return 100 * min(max(seconds, 0.0), self.until_s) / self.until_s

    def place(self, from_s: float, until_s: float | None = None) -> str:
        """Return the style that puts an element at a time, with the width of a span of time."""
        left = self.share(from_s)
        if until_s is None:
            return f"left:{left:.3f}%"
        return f"left:{left:.3f}%;width:{max(0.0, self.share(until_s) - left):.3f}%"


def packed(
    name: str, kind: str, marks: list[Mark], axis: Axis, *, inside: bool = False
) -> Lane | None:
    """Lay marks into as few rows as keep their labels apart.

    A label stands behind its mark or, ``inside``, begins in it; near the right end, before it.
    """
    if not marks:
        return None
    # The least at which labels are shown at all.
    px_per_s = max(axis.width_px / axis.until_s, CROWDED_PX_PER_S)
    width_px = px_per_s * axis.until_s
    # Up to where each row is taken.
    taken_px: list[float] = []
    drawn: list[Markup] = []
    for mark in sorted(marks, key=lambda mark: mark.from_s):
        from_px, until_px = mark.from_s * px_per_s, mark.until_s * px_per_s
        label_px = len(mark.label) * _PX_PER_LETTER + 12
        flip = not inside and until_px + label_px > width_px > 2 * label_px
        if flip:
            from_px -= label_px
        elif inside:
            until_px = max(until_px, from_px + label_px)
        else:
            until_px += label_px
        row = next((row for row, taken in enumerate(taken_px) if taken <= from_px), len(taken_px))
        label = mark.label if row < _MOST_ROWS else ""
        row = min(row, _MOST_ROWS - 1)
        if row == len(taken_px):
            taken_px.append(0.0)
        taken_px[row] = max(taken_px[row], until_px + _LABEL_GAP_PX)
        classes = " ".join(part for part in ("mark", mark.kind, "flip" if flip else "") if part)
        drawn.append(
            element(
                "span",
                {
                    "class": classes,
                    "style": f"{axis.place(mark.from_s, mark.until_s)};--row:{row}",
                    "title": mark.title,
                },
                element("b", None, label),
            )
        )
    return Lane(name, kind, joined(*drawn), len(taken_px))


def ruler(axis: Axis) -> Markup:
    """Draw ticks, at most fifteen of them named; their lines cross all lanes."""
    step_s, small_s = next(
        ((step, small) for step, small in _STEPS_S if axis.until_s / step <= 14), _STEPS_S[-1]
    )
    ticks: list[Markup] = []
    for number in range(int(axis.until_s / small_s) + 1):
        seconds = number * small_s
        whole = abs(seconds / step_s - round(seconds / step_s)) < 1e-6
        named = whole and axis.share(seconds) < 96.5  # the last would be cut in two
        label: str = ""
        if named:
            label = element("b", None, _tick(seconds))
        elif axis.crowded and not whole:
            # Hidden until somebody zooms in so far that labels have room.
            label = element("b", {"class": "fine"}, _tick(seconds))
        style = {"class": "tick" if whole else "tick small", "style": axis.place(seconds)}
        ticks.append(element("i", style, label))
    return element("div", {"class": "ruler"}, *ticks)


def _tick(seconds: float) -> str:
    return at(seconds).removesuffix(".0")
