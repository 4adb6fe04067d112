"""Find the steps of ``signals`` in what came out at the other end, and say how late they are."""

import audioop
from array import array
from dataclasses import dataclass, field

from tests.benchmarks.signals import LEVELS


@dataclass(frozen=True, slots=True)
class Delay:
    """How late one probe was.

    Args:
        frame_ms: From the write of the first marked frame to the arrival of the first frame out
            that carries the mark.
        onset_ms: The same, to the marked sample: what lies before it in its frame is added, so
            audio held back in filters and in half-full frames counts too.
    """

    frame_ms: float
    onset_ms: float


@dataclass(slots=True)
class Ear:
    """One direction of one call: knows the probe on its way and waits for it."""

    delays: list[Delay] = field(default_factory=list)
    sent: int = 0
    wrong: int = 0
    _code: int = -1
    _sent_at: float = 0.0
    _found: Delay | None = None

    def probe_sent(self, code: int, at: float) -> None:
        """A probe left; the one before, if still missing, counts as wrong."""
        if self._code >= 0:
            self.wrong += 1
        self.sent += 1
        self._code, self._sent_at, self._found = code, at, None

    def heard(self, pcm: bytes, rate_hz: int, at: float) -> None:
        """Take one frame of PCM16 that arrived at ``at``."""
        if self._code < 0:
            return
        level = LEVELS[self._code]
        if self._found is None:
            if audioop.max(pcm, 2) * 2 < level:
                return
            onset = next(n for n, sample in enumerate(array("h", pcm)) if abs(sample) * 2 >= level)
            frame_ms = (at - self._sent_at) * 1000
            self._found = Delay(frame_ms, frame_ms + onset * 1000 / rate_hz)
            return
        # The frame after the onset lies within the step: its level says which probe this was.
        samples = array("h", pcm)
        plateau = samples[len(samples) // 2]
        if min(LEVELS, key=lambda each: abs(each - plateau)) == level:
            self.delays.append(self._found)
        else:
            self.wrong += 1
        self._code = -1
