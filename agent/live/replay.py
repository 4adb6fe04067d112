"""The caller's audio in order: what waits to be sent, and what may have to be said again.

How it works. Audio is added at the end and taken from where the last one was taken: ``take`` moves
it from *unsent* to *sent*. A session that is restored from a handle, or filled anew, does not know
what the caller said since the model last answered. So from the start of speech that nobody has
answered everything is kept, and ``rewind`` makes it unsent again. Speech that was answered is never
sent twice: it would be answered twice. Of silence only the newest moments are kept, for what was on
its way when a connection died, and for the onset that speech detection misses.
"""

from __future__ import annotations

from collections import deque

from agent.audio import INPUT_BYTES_PER_MS
from agent.live.caller_speech import PAUSE_MS

MAX_UNSENT_MS = 30_000.0
"""Promised per call: an outage up to this loses nothing."""
MAX_SENT_MS = 30_000.0
"""Of speech that nobody answered; a longer monologue is sent again from here on."""
ONSET_MS = 300.0
"""Before detected speech: quiet consonants, and what the server's own detection needs."""
IN_FLIGHT_MS = 1_000.0
"""What a connection that broke may have been sent and not have read: a slow round trip or two."""
_KEPT_BYTES = round((IN_FLIGHT_MS + ONSET_MS) * INPUT_BYTES_PER_MS)
_ONSET_BYTES = round(ONSET_MS * INPUT_BYTES_PER_MS)
_MAX_SENT_BYTES = round(MAX_SENT_MS * INPUT_BYTES_PER_MS)
_MAX_UNSENT_BYTES = round(MAX_UNSENT_MS * INPUT_BYTES_PER_MS)
# A caller whose voice was not heard for so long had come to an end when the answer began.
_ENDED_MS = 200.0


class CallerTape:
    """Audio of one session, PCM16 at 16 kHz. Positions are bytes since its start.

    Bounds: 30 s unsent, of which the oldest is dropped when full, because the newest is what the
    caller waits for an answer to; and 30 s sent. What was dropped is counted in ``lost_ms``.
    """

    def __init__(self) -> None:
        self.held = True
        """Nothing is to be taken at the moment."""
        self.lost_ms = 0.0
        """Dropped before any connection had it, or fallen off before it could be said again."""
        self.replayed_ms = 0.0
        """Made unsent again."""
        self.offered_ms = 0.0
        """All that the caller ever said."""
        self._unsent: deque[bytes] = deque()
        self._sent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._sent_bytes = 0
        self._position = 0
        self._sent_to = 0
        # Where speech began that nobody has answered; and up to where all speech was answered.
        self._unanswered: int | None = None
        self._answered_to = 0
        self._speech_start: int | None = None
        self._speech_end = 0
        # Up to where losses are counted; and unanswered speech that a hole keeps from being said
        # again, which is lost if the connection that heard it goes.
        self._counted_to = 0
        self._severed_bytes = 0

    @property
    def unsent_ms(self) -> float:
        """What waits to be sent."""
        return self._unsent_bytes / INPUT_BYTES_PER_MS

    @property
    def in_speech(self) -> bool:
        """Whether the caller is taken to be speaking."""
        return self._speech_start is not None

    @property
    def has_unanswered(self) -> bool:
        """Whether the caller said something that nobody has answered."""
        return self._unanswered is not None

    @property
    def unanswered_ms(self) -> float:
        """How long that is, from where the caller began until they fell silent."""
        if self._unanswered is None:
            return 0.0
        until = self._end if self.in_speech else self._speech_end
        return max(0, until - self._unanswered) / INPUT_BYTES_PER_MS

    def add(self, pcm: bytes) -> None:
        """Append what the caller said."""
        self._unsent.append(pcm)
        self._unsent_bytes += len(pcm)
        self.offered_ms += len(pcm) / INPUT_BYTES_PER_MS
        while self._unsent_bytes > _MAX_UNSENT_BYTES and len(self._unsent) > 1:
            self._severed_bytes += self._uncounted_to(self._position)
            dropped = len(self._unsent.popleft())
            self._unsent_bytes -= dropped
            self._position += dropped
            self.lost_ms += dropped / INPUT_BYTES_PER_MS
            self._counted_to = self._position
            # What lies before a hole cannot be said again in front of what lies behind it.
            self._sent.clear()
            self._sent_bytes = 0

    def take(self, max_ms: float) -> bytes:
        """Return the oldest unsent pieces, about ``max_ms`` of them; nothing while held."""
        if self.held or not self._unsent:
            return b""
        if len(self._unsent) == 1:
            taken = self._unsent.popleft()
            self._sent.append(taken)
        else:
            pieces: list[bytes] = []
            size = 0
            while self._unsent and size < max_ms * INPUT_BYTES_PER_MS:
                piece = self._unsent.popleft()
                pieces.append(piece)
                size += len(piece)
            self._sent.extend(pieces)
            taken = b"".join(pieces)
        self._unsent_bytes -= len(taken)
        self._sent_bytes += len(taken)
        self._position += len(taken)
        self._sent_to = max(self._sent_to, self._position)
        self._forget()
        return taken

    def speech_started(self, ago_ms: float) -> None:
        """The caller began to speak, so long ago."""
        start = self._end - round(ago_ms * INPUT_BYTES_PER_MS)
        self._speech_start = max(start, self._answered_to)
        if self._unanswered is None:
            self._unanswered = self._speech_start

    def speech_ended(self, *, answer_due: bool) -> None:
        """The caller stopped; what needs no answer (a cough, an echo) need not be said again."""
        if not answer_due:
            self._unanswered = None
            self._severed_bytes = 0
        self._speech_start = None
        self._speech_end = self._end - round(PAUSE_MS * INPUT_BYTES_PER_MS)

    def answered(self, *, quiet_ms: float) -> None:
        """The model answers what the caller has said.

        Args:
            quiet_ms: For how long the caller's voice has not been heard.
        """
        self._severed_bytes = 0
        if self._speech_start is not None and quiet_ms < _ENDED_MS:
            self._answered_to = self._unanswered = self._speech_start
            return
        # What has not been sent yet cannot be what is answered.
        spoken_to = min(self._end - round(quiet_ms * INPUT_BYTES_PER_MS), self._position)
        self._answered_to = max(self._answered_to, spoken_to)
        ended_at = self._speech_end
        if self._speech_start is not None:
            # If the same speech goes on after this pause, that is new speech.
            ended_at, self._speech_start = self._end - round(quiet_ms * INPUT_BYTES_PER_MS), None
        if self._unanswered is not None:
            rest_unsent = ended_at > self._position
            self._unanswered = max(self._unanswered, self._position) if rest_unsent else None

    def abandon(self) -> None:
        """Another worker goes on without this audio: what nobody has answered is lost."""
        sent_to = max(self._sent_to, self._position)
        self.lost_ms += self._uncounted_to(sent_to) / INPUT_BYTES_PER_MS
        self.give_up()
        self._sent_to = self._end

    def give_up(self) -> None:
        """There will be no connection: what was never sent is lost."""
        self.lost_ms += max(0, self._end - max(self._sent_to, self._position)) / INPUT_BYTES_PER_MS
        self._counted_to = self._end

    def rewind(self, *, in_flight_ms: float) -> None:
        """The connection is gone: what it may not have consumed is unsent again.

        Args:
            in_flight_ms: Sent so recently that it may never have arrived.
        """
        target = self._position - round(in_flight_ms * INPUT_BYTES_PER_MS)
        if self._unanswered is not None:
            target = min(target, self._unanswered - _ONSET_BYTES)
            kept_from = self._position - self._sent_bytes
            gone_bytes = self._severed_bytes + self._uncounted_to(kept_from)
            self.lost_ms += gone_bytes / INPUT_BYTES_PER_MS
            self._counted_to = max(self._counted_to, kept_from)
        self._severed_bytes = 0
        while (
            self._sent
            and self._position > target
            and self._position - len(self._sent[-1]) >= self._answered_to
        ):
            piece = self._sent.pop()
            self._unsent.appendleft(piece)
            self._unsent_bytes += len(piece)
            self._sent_bytes -= len(piece)
            self._position -= len(piece)
            self.replayed_ms += len(piece) / INPUT_BYTES_PER_MS

    def _uncounted_to(self, position: int) -> int:
        """Return how much unanswered speech before ``position`` is not in ``lost_ms``."""
        if self._unanswered is None:
            return 0
        return max(0, position - max(self._unanswered, self._counted_to))

    @property
    def _end(self) -> int:
        return self._position + self._unsent_bytes

    def _forget(self) -> None:
        """Let go of what need not be said again."""
        kept_from = self._position - _KEPT_BYTES
        if self._unanswered is not None:
            kept_from = min(kept_from, self._unanswered - _ONSET_BYTES)
            kept_from = max(kept_from, self._position - _MAX_SENT_BYTES)
        start = self._position - self._sent_bytes
        while self._sent and start + len(self._sent[0]) <= kept_from:
            dropped = len(self._sent.popleft())
            start += dropped
            self._sent_bytes -= dropped
