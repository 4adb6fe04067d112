"""Round numbers for the axis of a plot, and numbers as a drawing holds them."""

from __future__ import annotations

import math

_MOST_LINES = 4
# Below this there is nothing to be seen, and nothing that floats divide well by.
_LEAST = 1e-6


def round_levels(highest: float, *, whole: bool) -> list[float]:
    """From 0 up to at least the highest, in steps that people count in: at most five of them.

    Args:
        highest: Not negative.
        whole: Steps are whole numbers.
    """
    if highest < _LEAST:
        highest = 1.0
    step = 10 ** math.floor(math.log10(highest / _MOST_LINES))
    while highest / step > _MOST_LINES:
        # 1, 2, 5, 10
        step *= 2.5 if f"{step:e}".startswith("2") else 2
    if whole:
        step = max(1, round(step))
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)]


def in_svg(number: float) -> str:
    """A place in a drawing, to a thousandth."""
    return f"{number:.3f}".rstrip("0").rstrip(".")
