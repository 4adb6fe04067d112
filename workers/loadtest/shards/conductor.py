"""Leads the shards of a test: has them begin together, keeps what they tell, notices who is gone.

Sans-IO: messages and times in, commands and the next deadline out. A shard prepares, tells the time
of its own clock, calls, has called, and sends the sound of the slowest calls; the table in
``stands`` says which message leads where. None begins unless all are set: without one of them it
would be another load. One that is gone later has the others broken off; what they all have told
until then remains, and is told with why it is not the test that was planned.

Two clocks: ``now_s`` is monotonic, ``wall`` POSIX seconds, which hosts can compare. How far another
host's clock is off is known to within the time that question and answer take; where it is surely
more than ``MOST_APART_S``, the shards would not begin together, and nobody begins.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from workers.loadtest.measured import CallMeasured
from workers.loadtest.shards.messages import (
    Begin,
    BreakOff,
    CallOver,
    Failed,
    Finished,
    FromLeader,
    FromShard,
    Going,
    Hold,
    Ready,
    SendWavs,
    TimeTold,
    WavPiece,
    WhatTime,
)
from workers.loadtest.shards.stands import OVER, TABLE, Shard, Stand
from workers.loadtest.slowest import slowest
from workers.loadtest.sums import sums_of
from workers.loadtest.sums_json import decode_sums

MOST_APART_S: Final = 0.5
"""Between two clocks: a ramp of seconds is still one."""
SILENT_S: Final = 15.0
"""A shard says every second how it goes; one that has said nothing for so long is gone."""
HOLD_S: Final = 2.0
"""So often the leader says that it is there."""


@dataclass(frozen=True, slots=True)
class Send:
    """Tell a shard something."""

    index: int
    message: FromLeader


@dataclass(frozen=True, slots=True)
class WriteWav:
    """Write this behind what there is of a call's WAV file."""

    number: int
    data: bytes


Command: TypeAlias = Send | WriteWav


class Conductor:
    """Leads ``count`` shards, which have all been asked to prepare.

    Args:
        count: How many there are.
        now_s: When they were asked.
        prepare_s: How long that may take.
        lead_s: How long before it begins they are told when; a message may take almost so long.
        never: What it means where one never says a word, as a sentence.
        on_call: Told of every call.
    """

    def __init__(
        self,
        count: int,
        *,
        now_s: float,
        prepare_s: float,
        lead_s: float,
        never: str = "",
        on_call: Callable[[CallMeasured], object] = lambda _call: None,
    ) -> None:
        names = [f"callers {index + 1} of {count}" for index in range(count)]
        self.shards = tuple(Shard(name, heard_s=now_s) for name in names)
        self._ready_by_s = now_s + prepare_s
        self._prepare_s = prepare_s
        self._lead_s = lead_s
        self._never = never
        self._on_call = on_call
        self._held_s = now_s
        self._breaking_off = False
        self.begins_at: float | None = None
        """By the wall clock; None: it cannot be said yet."""
        self.broken_off = False
        """Whether somebody broke it off."""

    @property
    def refused(self) -> str:
        """Why the test cannot be made, in sentences; empty: it can, as far as is known."""
        if self.begins_at is not None:
            return ""
        return " ".join(shard.lost for shard in self.shards if shard.lost)

    @property
    def called(self) -> bool:
        """Whether no call is under way any more, nor will any be."""
        after = {Stand.CALLED, Stand.SENDING, *OVER}
        return self.begins_at is not None and all(one.stand in after for one in self.shards)

    @property
    def over(self) -> bool:
        """Whether nobody has anything more to say."""
        return all(shard.stand in OVER for shard in self.shards)

    @property
    def next_s(self) -> float:
        """When ``tick`` is due."""
        due = [shard.heard_s + self._patience_s(shard) for shard in self._there()]
        return min([self._held_s + HOLD_S, *due])

    def handle(self, index: int, message: FromShard, *, now_s: float, wall: float) -> list[Command]:
        """Take in what a shard said.

        Raises:
            ValueError: the table does not know that.
        """
        shard = self.shards[index]
        if shard.stand in OVER:
            return []  # It was given up; what is still on its way came too late.
        then = TABLE.get((shard.stand, type(message)))
        if then is None:
            raise ValueError(f"{shard.name} said {type(message).__name__} while {shard.stand}")
        if isinstance(message, Failed):
            return self.gone(index, f"failed: {message.why}".rstrip("."), wall=wall)
        shard.stand, shard.heard_s = then, now_s
        commands = self._act(index, shard, message, wall)
        return [*commands, *self._go_on(wall)]

    def gone(self, index: int, why: str, *, wall: float) -> list[Command]:
        """Take in that a shard is gone: its process, or the way to it."""
        self._miss(self.shards[index], why)
        return self._go_on(wall)

    def tick(self, *, now_s: float, wall: float) -> list[Command]:
        """Let time pass."""
        for shard in self._there():
            if now_s < shard.heard_s + self._patience_s(shard):
                continue
            if shard.stand is Stand.PREPARING:
                why = f"was not ready within {self._prepare_s:.0f} s"
                self._miss(shard, f"{why}. {self._never}".rstrip(". "))
            else:
                self._miss(shard, f"has not been heard of for {SILENT_S:.0f} s")
        commands = self._go_on(wall)
        if now_s >= self._held_s + HOLD_S:
            self._held_s = now_s
            commands += [self._to(shard, Hold()) for shard in self._there()]
        return commands

    def break_off(self) -> list[Command]:
        """Have every caller hang up; what was measured is told all the same."""
        self.broken_off = True
        return self._break_off()

    # -- one shard -----------------------------------------------------------------------------

    def _act(self, index: int, shard: Shard, message: FromShard, wall: float) -> list[Command]:
        match message:
            case Ready():
                shard.name += f" on {message.host}"
                shard.machine, shard.rest_url = message.machine, message.rest_url
                return [Send(index, WhatTime(wall))]
            case TimeTold():
                self._compare_clocks(shard, message, wall)
            case Going():
                shard.running, shard.begun = message.running, message.begun
                shard.slip = message.slip
            case CallOver():
                shard.calls.append(message.call)
                self._on_call(message.call)
            case Finished():
                shard.running, shard.slip = 0, message.slip
                self._check(shard, message)
            case WavPiece():
                return [WriteWav(message.number, base64.b64decode(message.data))]
            case _:
                pass
        return []

    def _compare_clocks(self, shard: Shard, time: TimeTold, wall: float) -> None:
        # Its clock said ``told`` at some moment between question and answer.
        ahead_s, behind_s = time.told - wall, time.asked - time.told
        for least_s, how in ((ahead_s, "ahead of"), (behind_s, "behind")):
            if least_s > MOST_APART_S:
                self._lose(
                    shard,
                    f"cannot begin with the others: its clock is {least_s:.1f} s {how} this one's",
                )

    def _check(self, shard: Shard, finished: Finished) -> None:
        """Compare what a shard has counted with what it has told."""
        told = sums_of(shard.calls)
        try:
            counted = decode_sums(dict(finished.sums))
        except ValueError as error:
            self._lose(shard, f"counts what nobody here knows: {error}")
            return
        if (told.endings, told.delays) != (counted.endings, counted.delays):
            self._lose(shard, f"made {counted.calls} calls, and {told.calls} of them came through")

    def _miss(self, shard: Shard, why: str) -> None:
        if shard.stand in (Stand.CALLED, Stand.SENDING):
            # Of its calls all is known; some of their sound is not there.
            shard.stand = Stand.LEFT
        elif shard.stand not in OVER:
            self._lose(shard, why)

    def _lose(self, shard: Shard, why: str) -> None:
        shard.stand, shard.running = Stand.LOST, 0
        shard.lost = f"{shard.name[0].upper()}{shard.name[1:]} {why}."

    # -- all of them ---------------------------------------------------------------------------

    def _go_on(self, wall: float) -> list[Command]:
        """Do what all of them have to be ready for."""
        if any(shard.lost for shard in self.shards):
            # What would go on is not what was planned.
            return [*self._break_off(), *self._collect()]
        if self.begins_at is None and all(one.stand is Stand.SET for one in self.shards):
            self.begins_at = wall + self._lead_s
            for shard in self.shards:
                shard.stand = Stand.CALLING
            return [self._to(shard, Begin(self.begins_at)) for shard in self.shards]
        return self._collect()

    def _collect(self) -> list[Command]:
        """Ask for the sound of the slowest calls of all, once there are no more."""
        if not self.called:
            return []
        waiting = [shard for shard in self.shards if shard.stand is Stand.CALLED]
        wanted = {call.number for call in slowest(c for one in self.shards for c in one.calls)}
        commands: list[Command] = []
        for shard in waiting:
            shard.stand = Stand.SENDING
            own = sorted(wanted & {call.number for call in shard.calls})
            commands.append(self._to(shard, SendWavs(tuple(own))))
        return commands

    def _break_off(self) -> list[Command]:
        if self._breaking_off:
            return []
        self._breaking_off = True
        return [self._to(shard, BreakOff()) for shard in self._there()]

    def _there(self) -> list[Shard]:
        return [shard for shard in self.shards if shard.stand not in OVER]

    def _patience_s(self, shard: Shard) -> float:
        # Nobody says anything while it prepares.
        return self._prepare_s if shard.stand is Stand.PREPARING else SILENT_S

    def _to(self, shard: Shard, message: FromLeader) -> Send:
        return Send(next(i for i, one in enumerate(self.shards) if one is shard), message)
