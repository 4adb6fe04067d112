"""What a media stream needs from its surroundings: a socket, and somebody to listen in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class MediaSocket(Protocol):
    """The accepted WebSocket of one stream.

    ``receive`` is called by one task and ``send`` by one other, ``write`` only while neither sends.
    """

    async def receive(self) -> str | bytes:
        """The next message; raises ``MediaSocketClosed`` once there is none."""
        ...

    def listen(self, take: Callable[[str], bool]) -> None:
        """Have ``take`` offered each text message as it comes, unless others wait to be received.

        What it refuses (False) is received in its turn.
        """
        ...

    def write(self, text: str) -> bool:
        """Send a text frame at once; False where that is for ``send``, which may wait or raise."""
        ...

    async def send(self, text: str) -> None:
        """Send a text frame; raises ``MediaSocketClosed`` where the socket is gone."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; does nothing if it is closed already."""
        ...


class AudioTap(Protocol):
    """Gets the audio of both sides, to record it. Must neither block nor raise.

    Times are milliseconds since the stream began. The caller's follow Twilio's timestamps, the
    agent's our clock; they agree to within network delay.
    """

    def caller_audio(self, ulaw: bytes, *, at_ms: float) -> None:
        """The caller said ``ulaw``, beginning at ``at_ms``."""
        ...

    def agent_audio(self, ulaw: bytes, *, at_ms: float) -> None:
        """The caller will hear ``ulaw``, beginning at ``at_ms``."""
        ...

    def agent_cleared(self, *, at_ms: float) -> None:
        """What was to be heard at or after ``at_ms`` never was."""
        ...
