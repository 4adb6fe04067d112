"""A session whose worker is lost, and one that goes on with it: real TLS, real SDK, no phone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from agent.checkpoint import News, SessionCheckpoint
from agent.conversation.played import heard_until
from agent.conversation.prompt import open_call
from agent.conversation.record import (
    EndReason,
    MoveCause,
    MoveKind,
    MoveRecord,
    ToolRecord,
    TurnRecord,
)
from agent.conversation.transcript import Transcript
from agent.live.dialer import LiveDialer
from agent.live.session import LiveSession
from agent.live.session_events import SessionEnd, SessionEvent
from agent.spec import AgentSpec
from agent.tools.call_control import built_in_tools
from agent.tools.declarations import declare
from agent.tools.earlier import MAY_HAVE_RUN, EarlierCalls, unfinished
from agent.tools.runner import ToolRunner
from tests.fakes.call_control import FakeCallControl
from tests.scenarios.test_live_session import (
    GREETING,
    ORDER,
    Phone,
    RealTimePlayout,
    agent,
    settings,
)
from workers.twin import speech
from workers.twin.live_api.script import (
    CallTool,
    GoOn,
    LiveScript,
    Recall,
    Say,
    TextRule,
    Turn,
)
from workers.twin.live_api.server import LiveTwin

MODEL = agent().model
HOURS = speech.line("caller_hours").text
LONG = (
    "We are open from seven in the morning until six in the evening, from Monday to Friday, and on "
    "Saturdays until noon, but never on a Sunday."
)
KNOWS = "I remember it all."
SCRIPT = LiveScript(
    opening=(Say(GREETING),),
    turns=(
        Turn("caller_hours", (Say(ORDER),)),
        Turn("caller_bye", (Recall(f"{GREETING}|{ORDER}|{HOURS}", KNOWS, "Who are you?"),)),
    ),
)


@dataclass(frozen=True, slots=True)
class Left:
    """What a worker has left of a call."""

    checkpoint: SessionCheckpoint | None = None
    turns: tuple[TurnRecord, ...] = ()
    tools: tuple[ToolRecord, ...] = ()
    origin_s: float = field(default_factory=time.monotonic)
    """When the call was answered."""


class Worker(Phone):
    """One worker's part of a call, and what it has written down by now.

    Args:
        spec: The agent.
        dialer: Opens connections.
        before: What the worker has left that served the call before.
    """

    SPEED = 1.0

    def __init__(self, spec: AgentSpec, dialer: LiveDialer, before: Left | None = None) -> None:
        before = before or Left()
        self.before = before
        self.playout = RealTimePlayout(self.SPEED)
        self.transcript = Transcript(self.playout, origin_s=before.origin_s)
        self.events: list[SessionEvent] = []
        self.moves: list[MoveRecord] = []
        self.looked_up: list[str] = []
        known_s = 0.0 if before.checkpoint is None else before.checkpoint.handle_s
        self.tools = ToolRunner(
            built_in_tools(spec, FakeCallControl()) | {"order_status": declare(self.order_status)},
            timeout_s=5,
            origin_s=before.origin_s,
            journal=self._journal,
            earlier=EarlierCalls(before.tools, known_s=known_s),
        )
        self.session = LiveSession(
            spec=spec,
            opening=open_call(
                spec,
                variables={},
                history=before.turns,
                tools=before.tools,
                checkpoint=before.checkpoint,
                now_s=self.now_s,
            ),
            dialer=dialer,
            tools=self.tools,
            transcript=self.transcript,
            playout=self.playout,
            elapsed_s=self.now_s,
            on_move=self.moves.append,
            on_change=self._keep,
        )
        self.session.listen(self)
        self._saying = bytearray()
        self.kept: SessionCheckpoint = self.session.checkpoint()
        self.kept_turns: list[TurnRecord] = []
        self.kept_tools: list[ToolRecord] = []
        self.died_s = float("inf")
        self.hangs = asyncio.Event()

    async def order_status(self, order_number: str) -> str:
        """Look up an order."""
        self.looked_up.append(order_number)
        await self.hangs.wait()
        return "it is ready"

    async def _journal(self, record: ToolRecord) -> None:
        self.kept_tools = [replace(record)]

    def _keep(self, _news: News = News.CHANGED) -> None:
        """Write behind, as a store does: what is here when the worker dies is all that is left."""
        self.kept = self.session.checkpoint()
        self.kept_turns = self.transcript.snapshot()

    def left(self) -> Left:
        """What is left of the call, with what can have been heard until the worker died."""
        return Left(
            self.kept,
            (*self.before.turns, *heard_until(self.kept_turns, self.died_s)),
            (*self.before.tools, *unfinished(self.kept_tools)),
            self.before.origin_s,
        )

    @property
    def now_s(self) -> float:
        return time.monotonic() - self.before.origin_s


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator[asyncio.Task[SessionEnd]]:
    """Let the worker serve the call; at the end it is dropped, and nothing more is written."""
    talk = asyncio.create_task(worker.session.run())
    stream = asyncio.create_task(worker.stream())
    try:
        yield talk
    finally:
        worker.died_s = worker.now_s
        talk.cancel()
        stream.cancel()
        async with asyncio.timeout(8):
            await asyncio.wait([talk, stream])


async def two_turns(worker: Worker) -> None:
    """A greeting, a question and its answer, all heard to the end."""
    await worker.quiet()
    worker.say("caller_hours")
    await worker.until(lambda: ORDER in worker.said("agent"))
    await worker.quiet()
    await worker.until(lambda: worker.kept.known_turns == 3)
    worker.session.bot_stopped()


async def test_other_worker_resumes_and_the_caller_hears_nothing_of_it() -> None:
    """By the handle of the checkpoint; the model knows both turns and greets nobody."""
    async with LiveTwin(SCRIPT, speed=20) as twin:
        dialer = LiveDialer(settings(twin))
        first = Worker(agent(), dialer)
        async with serving(first):
            await two_turns(first)
        second = Worker(agent(), dialer, first.left())
        async with serving(second):
            await second.until(lambda: second.moves)
            await asyncio.sleep(0.7)
            assert second.said("agent") == [], "it spoke without being asked"
            second.say("caller_bye")
            await second.quiet()
        left, log = twin.sessions
        assert (log.resumed_from, log.handle) == (left.number, first.kept.handle)
        assert log.texts == []
        remembered = " ".join(line.text for line in log.lines)
        assert all(said in remembered for said in (GREETING, HOURS, ORDER))
        instruction = log.setup["systemInstruction"]["parts"][0]["text"]
        assert ORDER not in instruction, "it was told what its handle knows"
    assert second.said("agent") == [KNOWS]
    (move,) = second.moves
    assert (move.cause, move.kind, move.tries) == (MoveCause.TAKEOVER, MoveKind.RESUME, 1)
    assert (move.gap_ms, move.lost_ms) == (0, 0)


async def test_agent_that_was_cut_in_the_middle_goes_on_from_there() -> None:
    """Not a word is said twice, and none is left out."""
    script = replace(
        SCRIPT,
        turns=(Turn("caller_hours", (Say(LONG),)),),
        texts=(TextRule(r"cut off by the telephone line", (GoOn((LONG,)),)),),
    )
    async with LiveTwin(script, speed=20) as twin:
        dialer = LiveDialer(settings(twin))
        first = Worker(agent(), dialer)
        async with serving(first):
            await first.quiet()
            first.say("caller_hours")
            await first.until(lambda: len(first.said("agent")) == 2)
            await asyncio.sleep(2.5)
        second = Worker(agent(), dialer, first.left())
        async with serving(second):
            await second.until(lambda: second.moves)
            await second.quiet()
        left, log = twin.sessions
        assert log.resumed_from == left.number
        assert len(log.texts) == 1
    heard = second.before.turns[-1].heard
    assert 0 < len(heard) < len(LONG)
    (rest,) = second.said("agent")
    assert f"{heard} {rest}" == LONG
    (move,) = second.moves
    assert (move.cause, move.kind) == (MoveCause.TAKEOVER, MoveKind.RESUME)
    assert 0 < move.gap_ms < 1_500


async def test_handle_that_the_server_does_not_know_leads_to_a_session_told_everything() -> None:
    """The caller notices as little."""
    turns = (
        TurnRecord("agent", GREETING, GREETING, 0.5, 1.5),
        TurnRecord("caller", HOURS, HOURS, 2.0, 3.5),
        TurnRecord("agent", ORDER, ORDER, 4.0, 5.0),
    )
    checkpoint = SessionCheckpoint(5.0, MODEL, "of another project", 4.0, known_turns=3)
    async with LiveTwin(SCRIPT, speed=20) as twin:
        left = Left(checkpoint, turns, (), time.monotonic() - 6.0)
        second = Worker(agent(), LiveDialer(settings(twin)), left)
        async with serving(second):
            await second.until(lambda: second.moves)
            second.say("caller_bye")
            await second.quiet()
        log = twin.sessions[-1]
        assert (log.resumed_from, log.handle) == (None, "")
    assert second.said("agent") == [KNOWS]
    (move,) = second.moves
    assert (move.cause, move.kind, move.tries) == (MoveCause.TAKEOVER, MoveKind.REFILL, 2)


async def test_function_that_was_running_is_not_run_again() -> None:
    """The model that asks again is told that it may have been carried out."""
    asks = CallTool("order_status", {"order_number": "7"})
    script = replace(
        SCRIPT,
        turns=(Turn("caller_hours", (asks, Say(ORDER))),),
        texts=(TextRule(r"waiting for your answer", (asks, Say("I cannot tell."))),),
    )
    async with LiveTwin(script, speed=20) as twin:
        dialer = LiveDialer(settings(twin))
        first = Worker(agent(), dialer)
        async with serving(first):
            await first.quiet()
            first.say("caller_hours")
            await first.until(lambda: first.looked_up)
            await first.until(lambda: first.kept.answer_due)
        second = Worker(agent(), dialer, first.left())
        async with serving(second):
            await second.quiet()
        log = twin.sessions[-1]
        (answer,) = log.tool_responses
        assert answer["response"] == {"error": MAY_HAVE_RUN}
        instruction = log.setup["systemInstruction"]["parts"][0]["text"]
        assert "the line was cut before its result was known" in instruction
    assert (first.looked_up, second.looked_up) == (["7"], [])
    assert second.said("agent") == ["I cannot tell."]


async def test_call_is_handed_over_at_a_safe_point_and_resumed() -> None:
    """The first worker closes its connection in order; the second has its handle at once."""
    async with LiveTwin(SCRIPT, speed=20) as twin:
        dialer = LiveDialer(settings(twin))
        first = Worker(agent(), dialer)
        async with serving(first) as talk:
            await two_turns(first)
            first.session.hand_over(10.0)
            async with asyncio.timeout(3):
                end = await talk
            first._keep()
        assert (end.reason, end.detail) == (EndReason.HANDED_OVER, "at a safe point")
        second = Worker(agent(), dialer, first.left())
        async with serving(second):
            await second.until(lambda: second.moves)
            second.say("caller_bye")
            await second.quiet()
        left, log = twin.sessions
        assert (left.closed_by, log.resumed_from) == ("client", left.number)
    assert second.said("agent") == [KNOWS]
