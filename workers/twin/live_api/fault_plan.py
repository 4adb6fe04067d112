"""The faults of one connection: which are due, by time or by what has happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from workers.twin.live_api import faults as f
from workers.twin.live_api.engine import Event, Send
from workers.twin.live_api.quirks import Quirks

_F = TypeVar("_F", bound=f.Fault)


class FaultPlan:
    """The faults of one connection, and which of them have happened.

    Times are seconds of the server's clock. Every method that returns faults returns each once.
    """

    def __init__(
        self, faults: Iterable[f.Fault], connection: int, *, time_scale: float = 1.0
    ) -> None:
        """Take the faults of ``connection``; ``time_scale`` divides what counts from the setup."""
        self._faults = [
            fault for fault in faults if fault.sessions is None or connection in fault.sessions
        ]
        self._timed = [fault for fault in self._faults if isinstance(fault, f.Timed)]
        self._waiting: list[tuple[float, f.Timed]] = []
        self._counts: Counter[Event] = Counter()
        self._time_scale = time_scale

    # -- lasting faults --------------------------------------------------------------------------

    @property
    def refusal(self) -> int | None:
        """HTTP status to refuse the upgrade with."""
        return next((fault.status for fault in self._of(f.RefuseUpgrade)), None)

    @property
    def hangs(self) -> bool:
        """Whether the setup message is never answered."""
        return bool(self._of(f.HangBeforeSetup))

    @property
    def setup_delay_s(self) -> float:
        """Time to answer the setup message, on top of the usual."""
        return sum(fault.seconds for fault in self._of(f.DelaySetup))

    def setup_refusal(self, *, resumes: bool) -> f.RefuseSetup | None:
        """Return the close to answer the setup with."""
        fitting = {"any", "resume" if resumes else "fresh"}
        return next((fault for fault in self._of(f.RefuseSetup) if fault.when in fitting), None)

    @property
    def lingers_s(self) -> float:
        """How long the connection counts as open after its end."""
        return max((fault.seconds for fault in self._of(f.LingeringSocket)), default=0.0)

    @property
    def pong_delay_s(self) -> float | None:
        """Time to answer a ping; None for never."""
        late = self._of(f.LatePongs)
        return late[0].seconds if late else 0.0

    @property
    def forgets(self) -> bool:
        """Whether a resume restores nothing."""
        return bool(self._of(f.Amnesia))

    def quirks(self, *, resumed: bool, turn_complete_after_interrupted: bool = True) -> Quirks:
        """Return what is wrong with the model on this connection."""
        mute_after = self._of(f.MuteAfterBargeIn)
        slow = self._of(f.SlowAnswers)
        return Quirks(
            hands_out_handles=not self._of(f.NoHandles),
            mute=resumed and bool(self._of(f.PoisonedHandle)),
            greets_again=resumed and self.forgets,
            turn_complete_after_interrupted=turn_complete_after_interrupted
            and not self._of(f.NoTurnCompleteAfterInterrupt),
            interrupted_last=bool(self._of(f.InterruptedAfterTurnComplete)),
            silent_answers=frozenset(fault.answer for fault in self._of(f.SilentAnswer)),
            near_zero_answers=frozenset(fault.answer for fault in self._of(f.NearZeroAudio)),
            mute_after_barge_in="no"
            if not mute_after
            else "until_text"
            if mute_after[0].until_text
            else "for_ever",
            slow_from=slow[0].from_answer if slow else None,
            slow_add_s=slow[0].add_s if slow else 0.0,
        )

    def mutes(self, send: Send) -> bool:
        """Tell whether this frame is kept from the client."""
        return any(
            fault.answer <= 1 or send.answer >= fault.answer for fault in self._of(f.NeverAnswer)
        )

    # -- faults that happen once -----------------------------------------------------------------

    @property
    def only_time_strikes(self) -> bool:
        """Whether nothing that is said or sent sets a fault off any more."""
        return not self._timed

    def arm(self, now: float) -> None:
        """Start the clock: ``setupComplete`` was sent."""
        for fault in list(self._timed):
            if fault.after_s is not None:
                self._timed.remove(fault)
                self.later(fault, now + fault.after_s / self._time_scale + fault.delay_s)

    def later(self, fault: f.Timed, at: float) -> None:
        """Let ``fault`` happen at a time of the clock."""
        self._waiting.append((at, fault))

    @property
    def deadline(self) -> float | None:
        """When the next fault is due by time."""
        return min(at for at, _ in self._waiting) if self._waiting else None

    def due(self, now: float) -> list[f.Timed]:
        """Return the faults whose time has come, in its order."""
        if not self._waiting:
            return []
        due = sorted((one for one in self._waiting if one[0] <= now), key=lambda one: one[0])
        self._waiting = [one for one in self._waiting if one[0] > now]
        return [fault for _, fault in due]

    def before(self, send: Send, now: float) -> list[f.Timed]:
        """Return the faults that strike before this frame."""
        if not self._timed:
            return []
        return self._struck(
            [
                fault
                for fault in self._timed
                if fault.answer is not None
                and (send.answer, send.before_ms) >= (fault.answer, fault.audio_ms)
            ],
            now,
        )

    def happened(self, event: Event | None, now: float) -> list[f.Timed]:
        """Return the faults that strike right after ``event``, which is counted."""
        if event is None or not self._timed:
            return []
        self._counts[event] += 1
        number = self._counts[event]
        return self._struck([one for one in self._timed if one.waits_for(event, number)], now)

    def spoken(self, utterance: int, spoken_ms: float, now: float) -> list[f.Timed]:
        """Return the faults that strike once so much of the caller's utterance was heard."""
        if not self._timed or not spoken_ms:
            return []
        return self._struck(
            [one for one in self._timed if one.speech == utterance and one.speech_ms <= spoken_ms],
            now,
        )

    def _of(self, kind: type[_F]) -> list[_F]:
        return [fault for fault in self._faults if isinstance(fault, kind)]

    def _struck(self, struck: list[f.Timed], now: float) -> list[f.Timed]:
        """Sort out what waits for a while longer."""
        for fault in struck:
            self._timed.remove(fault)
            if fault.delay_s:
                self.later(fault, now + fault.delay_s)
        return [fault for fault in struck if not fault.delay_s]
