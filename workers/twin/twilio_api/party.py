"""One end of a phone line: an ear, a voice and a person, moved by one timer every 20 ms."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from workers.twin.caller import CallerScript
from workers.twin.performer import Doing, Performer
from workers.twin.phone_audio import FRAME_BYTES, FRAME_MS, Frame, is_loud
from workers.twin.timers import whole_ms
from workers.twin.twilio_api.media.timeline import Timeline

# After a stall of the process, this many frames are caught up in one go; the rest is lost, as it
# would be on a phone line.
CATCH_UP_FRAMES = 250

Sink = Callable[[Frame, float], None]


class Party:
    """Frames go to ``sink`` when there is one; what the person does goes to ``on_doing``."""

    def __init__(
        self,
        script: CallerScript,
        *,
        clock: Callable[[], float],
        on_doing: Callable[[Doing], None],
        speed: float = 1.0,
    ) -> None:
        self._clock = clock
        self._on_doing = on_doing
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._stopped = False
        self.performer = Performer(script, speed=speed)
        self.heard = Timeline(clock())
        self.spoken = bytearray()
        self.sink: Sink | None = None

    def start(self) -> None:
        """Begin; the person's time runs from here."""
        self._ticks = math.ceil((self._clock() - self.heard.start_s) * 1000 / FRAME_MS)
        self._tick()

    def stop(self) -> None:
        """End; nothing is sent or heard any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def drop_sound(self) -> None:
        """Keep nothing more of what was heard and said."""
        self.heard.audio.clear()
        self.spoken.clear()

    def hear(self, frame: Frame, due_s: float) -> None:
        """Lay the voice of another party into this one's ear, at the time it was due."""
        self.heard.put(self.heard.position(due_s), frame.ulaw)

    def _due_s(self) -> float:
        return self.heard.start_s + self._ticks * FRAME_MS / 1000

    def _tick(self) -> None:
        now = self._clock()
        for _ in range(CATCH_UP_FRAMES):
            due_s = self._due_s()
            if due_s > now or self._stopped:
                break
            self._ticks += 1
            self._step(due_s)
        else:
            self._ticks = int((now - self.heard.start_s) * 1000 / FRAME_MS) + 1
        if not self._stopped:
            # An absolute schedule: a late tick does not make the next one late.
            delay_s = whole_ms(self._due_s() - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _step(self, due_s: float) -> None:
        position = self.heard.position(due_s)

        def hears_speech() -> bool:
            return is_loud(self.heard.before(position, FRAME_BYTES))

        frame = self.performer.tick(due_s, hears_speech)
        if self.performer.answered:
            if len(self.spoken) < position:
                self.spoken += b"\xff" * (position - len(self.spoken))
            self.spoken += frame.ulaw
            if self.sink is not None:
                self.sink(frame, due_s)
        for doing in self.performer.take_doings():
            self._on_doing(doing)
