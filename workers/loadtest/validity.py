"""What makes the result of a test worth nothing: generators that were late, or are gone."""

from __future__ import annotations

from workers.loadtest.clockwork import too_late
from workers.loadtest.result import LoadResult


def slipped(result: LoadResult) -> str | None:
    """Say whose own pacing slipped and by how much, where too much to report anything."""
    if not result.generators:
        return too_late(result.slip)
    late = [one for one in result.generators if too_late(one.slip)]
    if not late:
        return None
    worst = max(late, key=lambda one: (one.slip.late_share, one.slip.worst_ms))
    others = ", ".join(one.name for one in late if one is not worst)
    told = too_late(worst.slip, worst.name) or ""
    return f"{told} That of {others} slipped as well." if others else told


def lost(result: LoadResult) -> str:
    """Say which generators did not come to their end, and why; empty: all did."""
    return " ".join(one.lost for one in result.generators if one.lost)
