"""What happened in one call, in order: events, debugger lines, requests to the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from workers.twin.twilio_api.codes import WARNINGS
from workers.twin.twilio_api.result import TwinEvent, Webhook

# Some twenty a second come from marks: enough for a call of a quarter of an hour, then the newest
# are dropped and counted.
MAX_EVENTS = 20_000


class Journal:
    """Times count from its making.

    Args:
        clock: Seconds, monotonic.
        marks: Whether it keeps what happens to marks.
    """

    def __init__(self, clock: Callable[[], float], *, marks: bool = True) -> None:
        self._clock = clock
        self._marks = marks
        self.start_s = clock()
        self.events: list[TwinEvent] = []
        self.dropped = 0
        self.warnings: list[tuple[int, str]] = []
        self.webhooks: list[Webhook] = []

    def now_s(self) -> float:
        """Seconds since the call began."""
        return self._clock() - self.start_s

    def note(self, kind: str, **data: object) -> None:
        """Record an event."""
        if not self._marks and kind.startswith("mark."):
            return
        if len(self.events) < MAX_EVENTS:
            self.events.append(TwinEvent(self.now_s(), kind, data))
        else:
            self.dropped += 1

    def warn(self, code: int, detail: str) -> None:
        """Record a line of Twilio's debugger."""
        self.warnings.append((code, f"{WARNINGS.get(code, 'unknown')}: {detail}"))
        self.note("warning", code=code, detail=detail)

    def webhook(self, kind: str, url: str, method: str, params: Mapping[str, str]) -> Webhook:
        """Record a request that is about to be sent."""
        webhook = Webhook(kind, url, method, dict(params), self.now_s())
        self.webhooks.append(webhook)
        return webhook
