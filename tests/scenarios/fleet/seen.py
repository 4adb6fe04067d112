"""One call of a fleet while it goes on, and what both twins saw of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.scenarios.rig import held, until
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import SessionLog
from workers.twin.phone_audio import FRAME_BYTES, is_loud
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.result import CallResult, Webhook

CONTINUE = "/voice/continue"


@dataclass(frozen=True, slots=True)
class FleetCall:
    """A call by its caller's number, which its model is told, so that both ends can be matched."""

    twin: TwinCall
    number: str
    live: LiveTwin

    @property
    def sid(self) -> str:
        """The call SID."""
        return self.twin.sid

    @property
    def is_over(self) -> bool:
        """Whether Twilio has ended it."""
        return self.twin.line.facts.ended_at is not None

    @property
    def sessions(self) -> list[SessionLog]:
        """The Live connections that were used for it, in order.

        Not those that were dialled ahead by a worker whom its stream did not reach.
        """
        return [
            log
            for log in list(self.live.sessions)
            if self.number in log.system_instruction and is_used(log)
        ]

    @property
    def streams(self) -> int:
        """How many media streams it had so far, those opened beside its own left out."""
        return self.count("stream-started")

    @property
    def open_stream(self) -> bool:
        """Whether one of them is up."""
        return self.twin.line.stream is not None

    def now_s(self) -> float:
        """Seconds since it began, as its result counts."""
        return self.twin.line.journal.now_s()

    def at_s(self, clock_s: float) -> float:
        """A moment of the monotonic clock, as seconds since it began."""
        return clock_s - self.twin.line.journal.start_s

    def count(self, kind: str) -> int:
        """How often something happened in it so far."""
        return sum(event.kind == kind for event in list(self.twin.line.journal.events))

    def webhooks(self, path: str, *, since_s: float = 0.0) -> list[Webhook]:
        """Twilio's requests to a path, by the call's time."""
        return [
            hook
            for hook in self.twin.line.journal.webhooks
            if hook.url.partition("?")[0].endswith(path) and hook.sent_at_s >= since_s
        ]

    def agent_is_heard(self) -> bool:
        """Whether the caller hears the agent speak at this moment."""
        ear = self.twin.line.party.heard
        return is_loud(ear.before(ear.position(time.monotonic()), FRAME_BYTES))

    def caller_speaks(self) -> bool:
        """Whether the caller speaks at this moment."""
        return is_loud(bytes(self.twin.line.party.spoken[-FRAME_BYTES:]))

    async def until_agent_speaks(self, *, timeout_s: float = 15.0) -> None:
        """Wait until the caller hears the agent."""
        await self._until(self.agent_is_heard, "the agent is heard", timeout_s)

    async def until_agent_quiet(self, *, quiet_s: float = 0.6, timeout_s: float = 20.0) -> None:
        """Wait until the agent has said nothing for a while."""
        since = time.monotonic()

        def quiet() -> bool:
            nonlocal since
            if self.agent_is_heard():
                since = time.monotonic()
            return time.monotonic() - since >= quiet_s

        await self._until(quiet, "the agent is quiet", timeout_s)

    async def until_caller_speaks(self, *, timeout_s: float = 15.0) -> None:
        """Wait until the caller speaks."""
        await self._until(self.caller_speaks, "the caller speaks", timeout_s)

    async def until_streams(self, number: int, *, timeout_s: float = 20.0) -> None:
        """Wait until so many streams were started."""
        await self._until(lambda: self.streams >= number, f"stream {number}", timeout_s)

    async def until_answers(
        self, number: int, *, timeout_s: float = 30.0, poll_s: float = 0.05
    ) -> None:
        """Wait until the model has completed so many turns, on all its connections."""
        await self._until(lambda: self.answers >= number, f"answer {number}", timeout_s, poll_s)

    @property
    def answers(self) -> int:
        """Turns that its model completed so far, on all its connections."""
        return sum(turn.completed_at is not None for log in self.sessions for turn in log.said)

    async def until_next_model(self, since: float, *, timeout_s: float = 30.0) -> SessionLog | None:
        """Wait for a Live connection that was set up after a moment of the clock.

        None where the call ends without one.
        """

        def ready() -> list[SessionLog]:
            return [log for log in self.sessions if log.opened_at > since and log.ready_at]

        await until(lambda: self.is_over or ready(), timeout_s=timeout_s)
        return ready()[0] if ready() else None

    def known_turns(self) -> str:
        """Everything that the model of the newest connection that was set up knows."""
        ready = [log for log in self.sessions if log.ready_at is not None]
        return held(ready[-1]) if ready else ""

    def story(self) -> str:
        """What its Live connections saw, for whoever has to find out what went wrong."""
        begun_s = self.twin.line.journal.start_s
        lines = [f"{self.sid} of {self.number}"]
        for log in self.sessions:
            lines.append(
                f"connection {log.number}, {log.opened_at - begun_s:.2f} s to "
                f"{(log.closed_at or math.inf) - begun_s:.2f} s, resumed from {log.resumed_from}"
            )
            lines += [f"  told: {text}" for text in log.texts]
            lines += [f"  heard: {turn.text} ({turn.at - begun_s:.2f} s)" for turn in log.heard]
            lines += [
                f"  said: {turn.text} ({(turn.completed_at or math.inf) - begun_s:.2f} s)"
                for turn in log.said
            ]
            lines.append(f"  knows: {log.memory}")
            lines.append(f"  instruction: {log.system_instruction}")
        return "\n".join(lines)

    def lost_turns(self, finished_by: float) -> list[str]:
        """Words of turns finished by a moment of the clock that the newest model does not know."""
        known = " ".join(self.known_turns().split())
        said = [
            turn.text
            for log in self.sessions
            for turn in log.said
            if turn.completed_at is not None and turn.completed_at <= finished_by
        ]
        # A turn of the caller is finished when it has been answered.
        heard = [
            turn.text
            for log in self.sessions
            for turn in log.heard
            if any(turn.at <= (said.completed_at or 0.0) <= finished_by for said in log.said)
        ]
        return [text for text in [*said, *heard] if " ".join(text.split()) not in known]

    def heard_again_s(self, since: float) -> tuple[float, float] | None:
        """From Twilio's next request to the caller's audio at the next model, and from ``since``.

        Args:
            since: When its worker was lost, by the monotonic clock.
        """
        hooks = self.webhooks(CONTINUE, since_s=self.at_s(since))
        if not hooks:
            return None
        asked = hooks[0].sent_at_s + self.twin.line.journal.start_s
        arrivals = [
            log.arrivals[0] for log in self.sessions if log.opened_at >= asked and log.arrivals
        ]
        if not arrivals:
            return None
        return min(arrivals) - asked, min(arrivals) - since

    async def wait(self, timeout_s: float = 60.0) -> CallResult:
        """Wait for its end."""
        return await self.twin.wait(timeout_s)

    async def _until(
        self, condition: Callable[[], bool], what: str, timeout_s: float, poll_s: float = 0.01
    ) -> None:
        try:
            await until(lambda: self.is_over or condition(), timeout_s=timeout_s, poll_s=poll_s)
        except TimeoutError:
            raise TimeoutError(f"{what}: not within {timeout_s} s; {self._last()}") from None
        if not condition():
            raise AssertionError(f"the call is over before {what}: {self._last()}")

    def _last(self) -> str:
        events = list(self.twin.line.journal.events)
        told = [one for one in events if not one.kind.startswith("mark")][-12:]
        return f"{self.sid} {[(round(one.at_s, 2), one.kind, dict(one.data)) for one in told]}"


def is_used(log: SessionLog) -> bool:
    """Whether a Live connection serves a stream, rather than being dialled ahead for one."""
    return bool(log.audio_frames or log.texts or log.handle)


def got_through(result: CallResult) -> bool:
    """Whether the caller came to the end of what they wanted.

    They hang up as well where they have waited too long.
    """
    return result.script_finished and not any(
        "StepTimedOut" in str(event.data["doing"]) for event in result.named("script")
    )


def heard_ms(result: CallResult, since_s: float, until_s: float = float("inf")) -> float:
    """How much speech, not silence, the caller heard between two moments of the call."""
    begin = max(0, int(since_s * 8000)) // FRAME_BYTES * FRAME_BYTES
    end = len(result.heard) if until_s == float("inf") else int(until_s * 8000)
    return sum(
        20.0
        for at in range(begin, min(end, len(result.heard)) - FRAME_BYTES + 1, FRAME_BYTES)
        if is_loud(result.heard[at : at + FRAME_BYTES])
    )


def longest_silence_s(result: CallResult, since_s: float, until_s: float) -> float:
    """The longest time without the agent's voice between two moments."""
    longest = quiet = 0
    for at in range(int(since_s * 50), min(int(until_s * 50), len(result.heard) // FRAME_BYTES)):
        loud = is_loud(result.heard[at * FRAME_BYTES : (at + 1) * FRAME_BYTES])
        quiet = 0 if loud else quiet + 1
        longest = max(longest, quiet)
    return longest / 50
