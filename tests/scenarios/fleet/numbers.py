"""Prints what a scenario measured; nothing is judged by it but bounds that are generous."""

from __future__ import annotations

from collections.abc import Sequence


def p(values: Sequence[float], percent: float) -> float:
    """A percentile, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def show(what: str, times: Sequence[tuple[float, float]]) -> None:
    """Print p50 and p95 of pairs: from Twilio's question, and from the loss itself."""
    for name, values in zip(
        ("Twilio's question", "the loss"), zip(*times, strict=True), strict=True
    ):
        print(
            f"\n{what}, from {name}: p50 {p(values, 50):.2f} s, p95 {p(values, 95):.2f} s, "
            f"worst {max(values):.2f} s of {len(values)}"
        )
