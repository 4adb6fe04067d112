"""What the server's connections run: a sans-IO side that hears messages and gives back frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from workers.twin.live_api.messages import ClientMessage

Event = Literal["speech_end", "tool_call", "interruption", "turn"]
"""What faults may wait for; each is counted per connection."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a frame of the model's turn ``answer`` (from 1), which said ``before_ms`` until then."""

    data: bytes
    """Empty where nothing is sent: only ``event`` has happened."""
    answer: int = 0
    before_ms: float = 0.0
    audio_ms: float = 0.0
    """Audio in this frame."""
    event: Event | None = None
    """What has happened once this frame is sent."""


class Engine(Protocol):
    """One session after its setup. Times are seconds of the server's clock."""

    @property
    def deadline(self) -> float | None:
        """When ``wake`` is next wanted."""

    def receive(self, message: ClientMessage, now: float) -> None:
        """Take in a message.

        Raises:
            RefusedError: The connection is to be closed.
        """

    def wake(self, now: float) -> None:
        """Do what is due by ``now``.

        Raises:
            RefusedError: The connection is to be closed.
        """

    def take(self) -> list[Send]:
        """Return the frames to send, each once."""
