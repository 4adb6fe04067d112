"""Whether the caller is speaking, by energy alone.

How it works. Each piece of audio is loud or quiet against a threshold that follows the line's own
noise: three times the quietest moment of the last two seconds, within bounds, so that a hum or a
street is not speech and a whisper after it is. Speech begins after enough loud audio in a row and
ends after a pause longer than those between words. Sound that goes on and on without such a pause
is hold music or a machine: it is taken for speech no longer, until there is a pause. It need not be
exact: the Live API hears for itself. It is there so that a model that no longer hears is noticed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.audio import INPUT_BYTES_PER_MS, loudness

START_MS = 100.0
"""Shorter than a syllable is a click."""
PAUSE_MS = 600.0
"""Longer than a pause between words; server-side detection waits 0.5-1 s."""
STALLED_S = 1.0
"""Audio that stops coming altogether ends speech too."""
ENDLESS_MS = 60_000.0
"""Nobody talks for so long without drawing breath; our own bound."""
# Telephone speech lies around -30 to -15 dBFS, line noise below -50 (RMS of PCM16).
_MIN_THRESHOLD = 300
_MAX_THRESHOLD = 2_500
_NOISE_FACTOR = 3
_WINDOW_MS = 500.0
_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class CallerSpeechStarted:
    """The caller's voice was first heard at ``at_s``, a moment ago."""

    at_s: float


@dataclass(frozen=True, slots=True)
class CallerSpeechEnded:
    """The caller's voice was last heard at ``at_s``, a pause ago."""

    at_s: float
    voiced_ms: float
    """Counted in audio, which may arrive in bursts."""
    endless: bool = False
    """It goes on, and is no voice."""


class CallerSpeech:
    """Turns caller audio, PCM16 at 16 kHz, into starts and ends of speech."""

    def __init__(self) -> None:
        self.speaking = False
        self.loud_s: float | None = None
        """When the line was last louder than its noise."""
        self._loud_ms = 0.0
        self._quiet_ms = 0.0
        self._sounding_ms = 0.0
        self._endless = False
        self._threshold = _MIN_THRESHOLD
        self._window_ms = 0.0
        self._window_low = _MAX_THRESHOLD
        # Bound: the last two seconds; the oldest window is forgotten.
        self._lows: deque[int] = deque(maxlen=_WINDOWS)
        self._last_s: float | None = None

    @property
    def voiced_ms(self) -> float:
        """How much of the speech under way was loud."""
        return self._loud_ms if self.speaking else 0.0

    @property
    def quiet_ms(self) -> float:
        """How long the voice has not been heard in the speech under way."""
        return self._quiet_ms if self.speaking else 0.0

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to say if no more audio comes."""
        if not self.speaking or self._last_s is None:
            return None
        return self._last_s + STALLED_S

    def push(self, pcm: bytes, now: float) -> CallerSpeechStarted | CallerSpeechEnded | None:
        """Hear one piece of audio, of any length, whose end arrived at ``now``."""
        duration_ms = len(pcm) / INPUT_BYTES_PER_MS
        level = loudness(pcm)
        self._last_s = now
        self._follow_noise(level, duration_ms)
        if self._endless:
            self._quiet_ms = 0.0 if level >= self._threshold else self._quiet_ms + duration_ms
            self._endless = self._quiet_ms < PAUSE_MS
            return None
        self._sounding_ms = self._sounding_ms + duration_ms if self.speaking else 0.0
        if self._sounding_ms >= ENDLESS_MS:
            self._endless = True
            return self._end(now, endless=True)
        if level >= self._threshold:
            self.loud_s = now
            self._loud_ms += duration_ms
            self._quiet_ms = 0.0
            if not self.speaking and self._loud_ms >= START_MS:
                self.speaking = True
                return CallerSpeechStarted(now - self._loud_ms / 1000)
            return None
        self._quiet_ms += duration_ms
        if not self.speaking:
            self._loud_ms = max(0.0, self._loud_ms - duration_ms)
        elif self._quiet_ms >= PAUSE_MS:
            return self._end(now - self._quiet_ms / 1000)
        return None

    def tick(self, now: float) -> CallerSpeechEnded | None:
        """End speech whose audio has stopped coming."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        return self._end(deadline - STALLED_S)

    def _end(self, at_s: float, *, endless: bool = False) -> CallerSpeechEnded:
        ended = CallerSpeechEnded(at_s, self._loud_ms, endless)
        self.speaking = False
        self._loud_ms = self._quiet_ms = 0.0
        return ended

    def _follow_noise(self, level: int, duration_ms: float) -> None:
        self._window_low = min(self._window_low, level)
        self._window_ms += duration_ms
        if self._window_ms < _WINDOW_MS:
            return
        self._lows.append(self._window_low)
        self._window_ms, self._window_low = 0.0, _MAX_THRESHOLD
        if len(self._lows) == _WINDOWS:
            floor = min(self._lows) * _NOISE_FACTOR
            self._threshold = min(max(floor, _MIN_THRESHOLD), _MAX_THRESHOLD)
