"""What is asked for when a call is made: its first document, its limits, whom to tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from workers.twin.twilio_api.program import DocumentFetched, Fetch


@dataclass(frozen=True, slots=True)
class StatusCallback:
    """Where status events go, and which."""

    url: str = ""
    method: str = "POST"
    events: frozenset[str] = field(default_factory=lambda: frozenset({"completed"}))


@dataclass(frozen=True, slots=True)
class Detection:
    """Answering machine detection as the order asks for it."""

    message_end: bool = False
    """Whether the verdict on a machine waits for the end of its greeting."""
    timeout_s: float = 30.0

    callback: str = ""
    callback_method: str = "POST"

    @property
    def is_async(self) -> bool:
        """Whether the document runs at once and the verdict comes later."""
        return bool(self.callback)


@dataclass(frozen=True, slots=True)
class CallOrder:
    """How a call is to be made: where its first document comes from, and its limits."""

    first: Fetch | DocumentFetched
    fallback_url: str = ""
    status_callback: StatusCallback | None = None
    ring_timeout_s: float = 60.0
    time_limit_s: float = 4 * 3600.0
    send_digits: str = ""
    detection: Detection | None = None
