"""Numbers the messages of one stream, and misnumbers or withholds them where a script says so."""

from __future__ import annotations

from collections.abc import Mapping

from workers.twin.phone_audio import FRAME_MS
from workers.twin.twilio_api.media import messages

# A published live frame runs 73 ms ahead of (chunk - 1) * 20 (Twilio reference, 1.2).
FIRST_TIMESTAMP_MS = 73
# Withheld messages: a minute of frames; older ones go out first when it is full.
HELD_LIMIT = 3000


class Sender:
    """Sans-IO: every method returns the texts that may go out now, oldest first."""

    def __init__(self, stream_sid: str, account_sid: str, call_sid: str) -> None:
        self.stream_sid = stream_sid
        self._account_sid = account_sid
        self._call_sid = call_sid
        self._sequence = 0
        self._chunk = 0
        self._skipped_ms = 0
        self._hold_until_s = 0.0
        self._held: list[str] = []
        self._reordering = 0
        self._reordered: list[str] = []

    @property
    def chunks(self) -> int:
        """How many media messages were written so far."""
        return self._chunk

    def start(self, parameters: Mapping[str, str]) -> list[str]:
        """Write the two messages that open a stream."""
        return [
            messages.CONNECTED,
            messages.start(
                self.stream_sid,
                sequence=self._next(),
                account_sid=self._account_sid,
                call_sid=self._call_sid,
                parameters=parameters,
            ),
        ]

    def media(self, payload: str, now: float) -> list[str]:
        """Write 20 ms of caller audio, given in base64."""
        self._chunk += 1
        self._sequence += 1
        text = messages.media(
            self.stream_sid,
            sequence=self._sequence,
            chunk=self._chunk,
            timestamp_ms=FIRST_TIMESTAMP_MS + FRAME_MS * (self._chunk - 1) + self._skipped_ms,
            payload=payload,
        )
        if self._reordering:
            self._reordering -= 1
            self._reordered.append(text)
            if self._reordering:
                return []
            texts = self._reordered[::-1]
            self._reordered = []
            return self._pass(texts, now)
        if not self._hold_until_s:
            return [text]
        return self._pass([text], now)

    def dtmf(self, digit: str, now: float) -> list[str]:
        """Write a pressed key."""
        return self._pass([messages.dtmf(self.stream_sid, sequence=self._next(), digit=digit)], now)

    def marks(self, names: list[str], now: float) -> list[str]:
        """Write the echoes of marks."""
        return self._pass(
            [messages.mark(self.stream_sid, sequence=self._next(), name=name) for name in names],
            now,
        )

    def stop(self) -> list[str]:
        """Write what is withheld, then ``stop``."""
        held, self._held = [*self._held, *self._reordered], []
        return [
            *held,
            messages.stop(
                self.stream_sid,
                sequence=self._next(),
                account_sid=self._account_sid,
                call_sid=self._call_sid,
            ),
        ]

    def skip(self, ms: int) -> None:
        """Let the timestamps jump: that much caller audio was lost on the phone leg."""
        self._skipped_ms += ms

    def hold(self, until_s: float) -> None:
        """Withhold everything until then; it goes out as a burst with the next message."""
        self._hold_until_s = until_s

    def reorder(self, frames: int) -> None:
        """Send the next ``frames`` media messages in reverse."""
        self._reordering = max(0, frames)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _pass(self, texts: list[str], now: float) -> list[str]:
        if now < self._hold_until_s and len(self._held) < HELD_LIMIT:
            self._held += texts
            return []
        if self._held:
            texts = self._held + texts
            self._held = []
        if now >= self._hold_until_s:
            self._hold_until_s = 0.0
        return texts
