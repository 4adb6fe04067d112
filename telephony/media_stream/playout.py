"""When which audio goes to Twilio, and when the agent speaks, as the caller hears it: sans-IO.

Audio is queued here and sent in frames on an absolute schedule: a frame is due when Twilio would
otherwise have less than ``lead_ms`` left to play. The schedule advances by the length of what was
sent, not by when it was sent, so it does not drift; after a stall every frame that is due goes at
once, and only when Twilio has run dry does the schedule start anew. So little is queued at Twilio
that a barge-in clears a fraction of a second, and a stall shorter than the lead is not heard.

The shell calls ``take`` until it returns None, then waits for ``deadline`` or for news (audio
offered, an echo, a barge-in). Because it takes one command at a time and a barge-in empties the
queue, nothing of an old generation is sent after its ``clear``.

An utterance begins with audio after the end of the last, and ends where ``end_utterance`` says, or
after ``_SILENT_END_S`` without news. The agent starts to speak when its first frame is sent and
has stopped when its last mark was echoed: later utterances wait for that, so that starts and stops
alternate.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from telephony.audio.frames import FRAME_MS, FrameCutter
from telephony.audio.g711 import BYTES_PER_MS
from telephony.media_stream.messages import OutClear, OutMark, OutMedia
from telephony.media_stream.timeline import Timeline

FRAME_BYTES: Final = FRAME_MS * BYTES_PER_MS
_FRAME_S: Final = FRAME_MS / 1000

# A timer may fire a little early (uvloop's count whole milliseconds). The schedule is absolute, so
# acting a millisecond early costs nothing, and waiting for the rest of it would be a busy loop.
_EARLY_S: Final = 0.001

# Audio that stops coming without an end: after this much of nothing to play, what is left over is
# sent and marked. A model that speaks in real time is often this late with the next frame.
_GAP_S: Final = 0.04

# Pipecat's own transport takes 3 s without audio for the end (BOT_VAD_STOP_FALLBACK_SECS).
_SILENT_END_S: Final = 3.0

# Twilio queues ten minutes and then discards (error 31931); a model that runs this far ahead is
# broken. What comes on top is dropped, newest first, and counted.
MAX_QUEUED_BYTES: Final = 600 * 1000 * BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The first audio of an utterance went out."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller has heard the utterance to its end, or it was cut off."""


PlayoutCommand = OutMedia | OutMark | OutClear | SpeechStarted | SpeechStopped


class Playout:
    """The queue of one stream. Times are seconds of one monotonic clock."""

    def __init__(
        self,
        *,
        lead_ms: float = 160.0,
        mark_every_ms: float = 100.0,
        mark_timeout_s: float = 2.0,
        counters: Counter[str] | None = None,
    ) -> None:
        if lead_ms < FRAME_MS:
            raise ValueError(f"a lead of {lead_ms:g} ms is shorter than a frame")
        self.timeline = Timeline()
        self.speaking = False
        self.playing_from = 0.0
        """When the caller begins to hear the audio taken last."""
        self._counters: Counter[str] = Counter() if counters is None else counters
        self._lead_s = lead_ms / 1000
        self._mark_every = mark_every_ms * BYTES_PER_MS
        self._mark_timeout_s = mark_timeout_s
        self._frames: deque[bytes] = deque()
        self._cutter = FrameCutter(FRAME_BYTES)
        self._clear_due = False
        self._stop_due = False
        self._ends: deque[int] = deque()
        self._spoken_to = 0
        self._last_news_at = 0.0

    def offer(self, ulaw: bytes, now: float) -> None:
        """Queue audio of any length; what does not fit is dropped and counted."""
        if self.timeline.offered - self.timeline.sent + len(ulaw) > MAX_QUEUED_BYTES:
            self._counters["agent_audio_dropped_ms"] += len(ulaw) // BYTES_PER_MS
            return
        self.timeline.offered += len(ulaw)
        self._frames.extend(self._cutter.push(ulaw))
        self._last_news_at = now

    def end_utterance(self) -> None:
        """What was offered so far is an utterance; the next audio begins another."""
        self._release_rest()
        last = self._ends[-1] if self._ends else self._spoken_to
        if self.timeline.offered > last:
            self._ends.append(self.timeline.offered)

    def mark_echoed(self, name: str, now: float) -> None:
        """Note an echo; one that tells nothing about what was heard is counted."""
        if self.timeline.echo(name, now):
            self._last_news_at = now
        else:
            self._counters["marks_flushed"] += 1

    def clear(self, now: float) -> float:
        """Barge-in: drop what is queued, here and at Twilio, and begin a new generation.

        Returns:
            When the caller would have begun to hear the first thing they did not.
        """
        # Twilio has an empty queue once the last mark was echoed, and needs no clear.
        self._clear_due = self._clear_due or self.timeline.unconfirmed
        return self._drop(now)

    def abandon(self, now: float) -> float:
        """The stream is over: as ``clear``, but there is nobody to tell."""
        cut_at = self._drop(now)
        self._clear_due = False
        return cut_at

    def _drop(self, now: float) -> float:
        self._frames.clear()
        self._cutter.flush()
        self._ends.clear()
        self._stop_due = self._stop_due or self.speaking
        cut_at = self.timeline.clear(now)
        self._spoken_to = self.timeline.offered
        return cut_at

    def take(self, now: float) -> PlayoutCommand | None:
        """What is to be done now, one thing at a time; None where there is nothing until later."""
        if self._clear_due:
            self._clear_due = False
            return OutClear()
        speech = self._speech()
        if speech is not None:
            return speech
        timeline = self.timeline
        unmarked = timeline.sent - timeline.marked
        if unmarked >= self._mark_every or (unmarked and timeline.sent in self._ends):
            return OutMark(timeline.mark())
        if not self._frames:
            return self._take_at_rest(now)
        if now < self._frame_due() - _EARLY_S:
            return None
        frame = self._frames.popleft()
        self.playing_from = timeline.send(len(frame), now)
        return OutMedia(frame)

    def deadline(self) -> float | None:
        """When ``take`` will have something without any news; None for never."""
        if self._frames:
            return self._frame_due()
        if self._cutter.rest_bytes or self.timeline.sent > self.timeline.marked:
            return self._gap_ends()
        if self.timeline.sent > self.timeline.settled:
            return self._echo_due()
        if self.speaking:
            return self._silent_end()
        return None

    @property
    def queued(self) -> bool:
        """Whether whole frames wait to be sent, so that ``deadline`` is already known."""
        return bool(self._frames)

    @property
    def unfinished(self) -> bool:
        """Whether anything is being said or waits to be."""
        return self.speaking or self.timeline.offered > self._spoken_to

    @property
    def has_news(self) -> bool:
        """Whether an echo has given ``take`` something to say."""
        return self._stop_due or bool(self._ends and self.timeline.settled >= self._ends[0])

    def _speech(self) -> PlayoutCommand | None:
        if self._stop_due:
            self._stop_due = self.speaking = False
            return SpeechStopped()
        if self.speaking:
            if self._ends and self.timeline.settled >= self._ends[0]:
                self._spoken_to = self._ends.popleft()
                self.speaking = False
                return SpeechStopped()
        elif self.timeline.sent > self._spoken_to:
            self.speaking = True
            return SpeechStarted()
        return None

    def _take_at_rest(self, now: float) -> PlayoutCommand | None:
        """Nothing is queued: finish what was begun, then wait for echoes, bounded."""
        deadline = self.deadline()
        if deadline is None or now < deadline - _EARLY_S:
            return None
        timeline = self.timeline
        if self._cutter.rest_bytes:
            self._release_rest()
        elif timeline.sent > timeline.marked:
            return OutMark(timeline.mark())
        elif timeline.sent > timeline.settled:
            # The echo did not come. What the marks did not say was heard is not counted as heard.
            self._counters["marks_timed_out"] += 1
            timeline.give_up()
        else:
            self.end_utterance()
        return self.take(now)

    def _frame_due(self) -> float:
        return self.timeline.plays_until + _FRAME_S - self._lead_s

    def _gap_ends(self) -> float:
        return max(self.timeline.plays_until, self._last_news_at) + _GAP_S

    def _echo_due(self) -> float:
        return self.timeline.plays_until + self._mark_timeout_s

    def _silent_end(self) -> float:
        return max(self.timeline.plays_until, self._last_news_at) + _SILENT_END_S

    def _release_rest(self) -> None:
        rest = self._cutter.flush()
        if rest:
            self._frames.append(rest)


class PlayoutClock:
    """What the caller has heard, as of now, in milliseconds of the agent's audio."""

    def __init__(self, playout: Playout, clock: Callable[[], float]) -> None:
        self._timeline = playout.timeline
        self._clock = clock

    def offered_ms(self) -> float:
        """All agent audio ever handed in; never goes back."""
        return self._timeline.offered / BYTES_PER_MS

    def heard_ms(self, since_ms: float, until_ms: float) -> float:
        """How much of what was handed in between two positions the caller has heard."""
        heard = self._timeline.heard_between(
            since_ms * BYTES_PER_MS, until_ms * BYTES_PER_MS, self._clock()
        )
        return heard / BYTES_PER_MS

    def pending_ms(self) -> float:
        """Handed in, not cleared, and not heard yet."""
        return self._timeline.pending(self._clock()) / BYTES_PER_MS
