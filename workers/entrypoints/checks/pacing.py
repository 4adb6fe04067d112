"""Whether this host wakes us in time for 20 ms frames."""

from __future__ import annotations

import asyncio
import time

from workers.entrypoints.checks.finding import Finding, ok, warn

FRAME_S = 0.020
FRAMES = 150
# A quarter of a frame. The lead that is kept at Twilio (playout.py) hides single late frames; a
# host that is late as a rule has no time for more calls.
WARN_P95_MS = 5.0
LEAD_MS = 160.0


async def check_pacing(frames: int = FRAMES) -> list[Finding]:
    """Measure how late an absolute 20 ms schedule is served on this host, one frame at a time."""
    return [judge(await lateness_ms(frames))]


async def lateness_ms(frames: int) -> list[float]:
    """How late each of so many frames was, as the output's pacer would send them."""
    loop = asyncio.get_running_loop()
    origin = time.monotonic()
    late: list[float] = []
    for number in range(1, frames + 1):
        due = origin + number * FRAME_S
        # uvloop's timers fire up to a millisecond early: then there is still something to wait for.
        while (left_s := due - time.monotonic()) > 0:
            woken = loop.create_future()
            loop.call_later(left_s, woken.set_result, None)
            await woken
        late.append((time.monotonic() - due) * 1000)
    return late


def judge(late_ms: list[float]) -> Finding:
    """What these latenesses mean for calls."""
    ordered = sorted(late_ms)
    p95, most = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], ordered[-1]
    text = f"20 ms frames are late by {p95:.1f} ms (p95), {most:.1f} ms at most"
    mend = (
        "give this host more or quieter CPU: fewer neighbours, no CPU quota, not a small burst VM"
    )
    if p95 > WARN_P95_MS:
        return warn(f"{text}; p95 above {WARN_P95_MS:g} ms", mend)
    if most > LEAD_MS:
        return warn(f"{text}; callers hear a gap beyond {LEAD_MS:g} ms", mend)
    return ok(text)
