"""Carries out what a tool asks of the call while it goes on: touch tones, never calling again.

Hanging up and transferring are not here: the session closes the call when the caller has heard the
goodbye, and the voice webhook takes it from there.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from agent.conversation.record import CallRecord, DigitRecord


class PipelineCallControl:
    """Acts on one stream of a call.

    Args:
        record: The call's; digits and the opt-out are noted in it.
        opt_out: Has the other side's number never called again; False: not yet.
        clock: Monotonic seconds.
        origin_s: The clock's reading when the call was answered.
    """

    def __init__(
        self,
        record: CallRecord,
        *,
        opt_out: Callable[[], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
        origin_s: float,
    ) -> None:
        self._record = record
        self._opt_out = opt_out
        self._clock = clock
        self._origin_s = origin_s
        self._play: Callable[[str], Awaitable[None]] | None = None

    def attach(self, play_digits: Callable[[str], Awaitable[None]] | None) -> None:
        """Say what plays touch tones on the stream; None once it has ended."""
        self._play = play_digits

    async def send_digits(self, digits: str) -> None:
        """Play touch tones on the stream, behind what is being said.

        A media stream carries no digits towards the phone, and ``<Play digits>`` by REST would end
        the stream (twilio.md 4.3), so they are audio.

        Raises:
            RuntimeError: there is no stream to play them on.
        """
        if self._play is None:
            raise RuntimeError("the line is not open")
        await self._play(digits)
        at_s = self._clock() - self._origin_s
        self._record.digits.extend(
            DigitRecord(digit, at_s, sent=True) for digit in digits if digit != ","
        )

    async def opt_out(self) -> bool:
        """Note that this number must not be called again; False: it is not written yet."""
        self._record.opted_out = True
        return await self._opt_out()
