"""Live connections dialled while Twilio is still setting up the streams that they are for.

The voice webhook knows all that a fresh session is set up with; the stream comes some hundred
milliseconds later, or after an announcement. The session's first dial takes the connection if its
stream lands in this process.

Nothing reads a connection before it is taken. What the server says at once (``goAway`` seconds
after the setup was seen on 3.8) waits in the socket for the session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog
from google.genai import types

from agent.context.seed import SeedTurn
from agent.conversation.prompt import Opening
from agent.errors import LiveConnectFailed, LiveConnectRefused, LiveError
from agent.live.connection import Connection
from agent.live.dialer import Dialer
from agent.spec import AgentSpec

KEEP_S = 20.0
"""Twilio opens a stream within a second of the webhook's answer; an announcement comes first."""
LIMIT = 50
"""Half of the calls that a process takes by default, all of them being answered at once."""

_log = structlog.get_logger(__name__)


class PrewarmOutcome(StrEnum):
    """What came of one that was begun; each comes to exactly one."""

    HIT = "hit"
    """Taken; the session did not wait."""
    LATE = "late"
    """Taken; the session waited for the rest of the dial."""
    UNCLAIMED = "unclaimed"
    """No session of this process wanted it."""
    FAILED = "failed"
    """It was not made, or was lost before it was taken; the session dialled itself."""
    FULL = "full"
    """Not dialled: there were too many already."""


@dataclass(frozen=True, slots=True)
class _Setup:
    """All that shapes a fresh connection."""

    spec: AgentSpec
    system_instruction: str
    declarations: tuple[types.FunctionDeclaration, ...]


@dataclass(eq=False, slots=True)
class _Warm:
    """One connection, from the dial until it is taken or closed."""

    call_sid: str
    setup: _Setup
    dialled: asyncio.Event = field(default_factory=asyncio.Event)
    """There is a connection, or there will be none."""
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    connection: Connection | None = None
    """To be closed by us; a session that took it closes it itself."""
    error: Exception | None = None
    wanted: bool = False
    """A session waits for it, and answers for it."""
    over: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None


class Prewarm:
    """The connections dialled ahead in this process; its methods belong to the event loop.

    Args:
        dialer: Opens Live connections.
        on_outcome: Is told what came of each one.
        limit: How many may be dialled, kept or being closed at once; one more is not begun.
        keep_s: How long one is kept for a session.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        on_outcome: Callable[[PrewarmOutcome], None] = lambda _: None,
        limit: int = LIMIT,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dialer = dialer
        self._on_outcome = on_outcome
        self._limit = limit
        self._keep_s = keep_s
        self._clock = clock
        # Those of which nothing came yet, by call SID.
        self._warm: dict[str, _Warm] = {}
        # Bound of both: ``limit``; what does not fit is not begun.
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def begin(
        self,
        call_sid: str,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration] = (),
    ) -> None:
        """Dial for a call; a second time for the same call is ignored (Twilio asks again)."""
        if self._closed or call_sid in self._warm:
            return
        if len(self._tasks) >= self._limit:
            _log.info("live.prewarm_dropped", call_sid=call_sid, why="full")
            self._on_outcome(PrewarmOutcome.FULL)
            return
        setup = _Setup(spec, opening.system_instruction, tuple(declarations))
        warm = self._warm[call_sid] = _Warm(call_sid, setup)
        warm.task = asyncio.create_task(self._run(warm), name=f"prewarm {call_sid}")
        self._tasks.add(warm.task)
        warm.task.add_done_callback(self._tasks.discard)
        loop = asyncio.get_running_loop()
        warm.timer = loop.call_later(self._keep_s, self._drop, warm, "no session came")

    def dialer_for(self, call_sid: str) -> Dialer:
        """Return what the call's session is to dial with."""
        return _ClaimingDialer(self, self._dialer, call_sid, self._clock)

    def drop(self, call_sid: str) -> None:
        """Give up what was dialled for a call that has ended, was refused or lands elsewhere.

        One that a session waits for stays: the session gives it up when it ends itself.
        """
        warm = self._warm.get(call_sid)
        if warm is not None and not warm.wanted:
            self._drop(warm, "the call is over")

    async def close(self) -> None:
        """Give up everything, begin nothing any more, and wait until all is closed."""
        self._closed = True
        for warm in list(self._warm.values()):
            self._drop(warm, "the worker stops")
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def claim(
        self,
        call_sid: str,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration],
        *,
        timeout_s: float,
    ) -> Connection | None:
        """Return what was dialled for a call; None where the caller has to dial.

        One that was set up in another way is given up: there is no later use for it.

        Raises:
            LiveConnectRefused: the dial was, while it was waited for.
            LiveConnectFailed: ``timeout_s`` has passed.
        """
        warm = self._warm.get(call_sid)
        if warm is None:
            return None
        if warm.setup != _Setup(spec, opening.system_instruction, tuple(declarations)):
            self._drop(warm, "another setup is wanted")
            return None
        outcome = PrewarmOutcome.HIT
        if not warm.dialled.is_set():
            outcome = PrewarmOutcome.LATE
            await self._wait_for(warm, timeout_s)
        if warm.over:
            if isinstance(warm.error, LiveConnectRefused):
                raise warm.error
            return None
        connection = warm.connection
        if connection is None or connection.ended:
            self._drop(warm, "lost", PrewarmOutcome.FAILED)
            return None
        # From here to the session's own hands nothing is waited for, so nothing can get lost.
        warm.connection = None
        warm.taken.set()
        self._end(warm, outcome)
        return connection

    async def _wait_for(self, warm: _Warm, timeout_s: float) -> None:
        warm.wanted = True
        if warm.timer is not None:
            warm.timer.cancel()
        try:
            async with asyncio.timeout(timeout_s):
                await warm.dialled.wait()
        except TimeoutError:
            self._drop(warm, "too slow", PrewarmOutcome.FAILED)
            raise LiveConnectFailed(
                f"the connection dialled ahead was not there after {timeout_s:g} s",
                setup_sent=True,
            ) from None
        except asyncio.CancelledError:
            self._drop(warm, "the session has ended")
            raise

    async def _run(self, warm: _Warm) -> None:
        """Dial, keep the connection until it is taken, and close it if it is not."""
        setup, started_s = warm.setup, self._clock()
        try:
            warm.connection = await self._dialer.connect(
                setup.spec, Opening(setup.system_instruction), setup.declarations
            )
            took_ms = round((self._clock() - started_s) * 1000)
            _log.info("live.prewarmed", call_sid=warm.call_sid, took_ms=took_ms)
            warm.dialled.set()
            await warm.taken.wait()
        except LiveError as error:
            warm.error = error
            self._end(warm, PrewarmOutcome.FAILED, f"failed: {error}")
        except Exception as error:  # noqa: BLE001  the edge of a task
            # A bug: the session's own dial meets it again.
            _log.exception("live.prewarm_crashed", call_sid=warm.call_sid)
            warm.error = error
            self._end(warm, PrewarmOutcome.FAILED, "crashed")
        finally:
            if warm.connection is not None:
                await warm.connection.close()

    def _drop(
        self, warm: _Warm, why: str, outcome: PrewarmOutcome = PrewarmOutcome.UNCLAIMED
    ) -> None:
        if warm.over:
            return
        self._end(warm, outcome, why)
        assert warm.task is not None
        # Once: a second cancellation would break off the close.
        warm.task.cancel()

    def _end(self, warm: _Warm, outcome: PrewarmOutcome, why: str | None = None) -> None:
        """Note what came of it; whoever waits for it need not wait any longer."""
        if warm.over:
            return
        warm.over = True
        warm.dialled.set()
        del self._warm[warm.call_sid]
        if warm.timer is not None:
            warm.timer.cancel()
        if why is not None:
            _log.info("live.prewarm_dropped", call_sid=warm.call_sid, why=why)
        self._on_outcome(outcome)


class _ClaimingDialer:
    """A dialer for one session, whose first dial may find the connection there already."""

    def __init__(
        self, prewarm: Prewarm, dialer: Dialer, call_sid: str, clock: Callable[[], float]
    ) -> None:
        self._prewarm = prewarm
        self._dialer = dialer
        self._call_sid = call_sid
        self._clock = clock
        self._first = True

    @property
    def vertexai(self) -> bool:
        """Whether connections go to Vertex."""
        return self._dialer.vertexai

    async def connect(
        self,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration] = (),
        *,
        handle: str | None = None,
        history: Sequence[SeedTurn] = (),
        timeout_s: float | None = None,
    ) -> Connection:
        """Take what was dialled ahead, or dial; raises ``LiveError``."""
        first, self._first = self._first, False
        if first and handle is None and not history:
            bound_s = spec.limits.connect_timeout_s if timeout_s is None else timeout_s
            started_s = self._clock()
            connection = await self._prewarm.claim(
                self._call_sid, spec, opening, declarations, timeout_s=bound_s
            )
            if connection is not None:
                return connection
            # What was waited for a dial that came to nothing is not waited for twice.
            timeout_s = bound_s - (self._clock() - started_s)
        elif first:
            self._prewarm.drop(self._call_sid)
        return await self._dialer.connect(
            spec, opening, declarations, handle=handle, history=history, timeout_s=timeout_s
        )
