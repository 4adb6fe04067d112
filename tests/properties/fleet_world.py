"""Several workers over one store, and a Twilio that leads calls to any of them, in virtual time.

The workers are the real ones as far as they decide: ``ActiveCalls``, ``Takeover``, heartbeat,
sweeper, drainer and ``continue_call``. What they speak into, whom they ask and when they are
stopped or killed is the world's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.spec import AgentSpec
from telephony.calls.rest import Call
from telephony.calls.status import CallStatus
from telephony.calls.webhooks import CallRequest
from telephony.errors import CallAlreadyOver, OutcomeUnknown
from telephony.media_stream.ticket import Ticket
from tests.fakes.store import MemoryCallStore
from workers.call.active import ActiveCalls, StreamRefused
from workers.call.entry import CallEntry, CallState
from workers.call.steering import Reconnect, continue_call
from workers.call.takeover import Takeover
from workers.fleet.drainer import Drainer
from workers.fleet.heartbeat import Heartbeat
from workers.fleet.sweeper import Sweeper
from workers.store.calls import CallRow, StoredCall, StoreUnavailable

FRAME_S = 0.1
DIAL_S = 0.3
"""From a stream's start to the agent's first word."""
LEARNS_S = 2.5
"""A worker asks once a second whether its calls are still its own."""
ASK_TIMEOUT_S = 15.0
"""Twilio's, for a request."""
AGENT = AgentSpec("bakery", "You are a baker.")
ACCOUNT = "AC1"


@dataclass(eq=False)
class Stream:
    """One media stream, as Twilio sees it."""

    number: int
    worker: Worker
    open: bool = True
    second: bool = False
    """Beside the call's own: opened by an answer to a repeated question."""
    stopped: bool = False
    """Twilio has sent ``stop``."""
    hung_up: bool = False
    """The agent has said goodbye on it."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self) -> None:
        self.open = False
        self.closed.set()


@dataclass(eq=False)
class Phone:
    """One call."""

    sid: str
    streams: list[Stream] = field(default_factory=list)
    over: bool = False
    finished: Stream | None = None
    """On which the agent has hung up: nobody must speak on a later one."""
    words: list[tuple[float, Stream]] = field(default_factory=list)
    """When somebody spoke, and on which stream."""
    redirect: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerStore:
    """The store as one worker gets at it: late, not at all while it is stopped, never once dead."""

    def __init__(self, worker: Worker, store: MemoryCallStore, rng: random.Random) -> None:
        self._worker = worker
        self._store = store
        self._rng = rng
        self.on_refused: Callable[[str, int], None] = lambda _sid, _fence: None
        # Writes are done in order, each a moment after the one before.
        self._writes: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        worker.spawn(self._write())

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(real):
            return lambda *args, **kwargs: self._writes.put_nowait(lambda: real(*args, **kwargs))

        async def ask(*args: Any, **kwargs: Any) -> Any:
            await self._worker.gate()
            async with asyncio.timeout(kwargs.get("deadline_s", 1.0)) as timeout:
                try:
                    await asyncio.sleep(self._rng.uniform(0, 0.05))
                    answer = await real(*args, **kwargs)
                    await asyncio.sleep(self._rng.uniform(0, 0.05))
                except asyncio.CancelledError:
                    if timeout.expired():
                        raise StoreUnavailable("slow") from None
                    raise
            await self._worker.gate()
            return answer

        return ask

    async def settled(self, *, deadline_s: float = 0.5) -> bool:
        written = asyncio.Event()
        self._writes.put_nowait(written.set)
        try:
            async with asyncio.timeout(deadline_s):
                await written.wait()
        except TimeoutError:
            return False
        return True

    async def _write(self) -> None:
        while True:
            write = await self._writes.get()
            await asyncio.sleep(self._rng.uniform(0, 0.02))
            await self._worker.gate()
            self._store.on_refused = lambda sid, fence: self.on_refused(sid, fence)
            write()


class Worker:
    """One process."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.dead = False
        self._going = asyncio.Event()
        self._going.set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._letting_go: set[str] = set()
        loop = asyncio.get_running_loop()
        self.store: Any = WorkerStore(self, world.store, world.rng)
        self.active = ActiveCalls(100, self.store, loop.time, worker=name)
        self.takeover = Takeover(self.active, self.store, wall=loop.time)
        self.store.on_refused = self.active.taken
        self.sweeper = Sweeper(
            self.store,
            Rest(self),
            document=lambda row: str(row.streams),
            finalise=self._finalise,
            metrics=Uncounted(),
            clock=loop.time,
        )
        self.heart = Heartbeat(
            self.store,
            name,
            serving=lambda: self.active.serving,
            draining=lambda: self.active.draining,
            calls=lambda: self.active.live_streams,
            on_lost=self.active.taken,
            after=self.sweeper.looked,
            clock=loop.time,
        )
        self.active.elsewhere = lambda: self.heart.watch.others_ready > 0
        self._beat()

    @property
    def answers(self) -> bool:
        """Whether requests to it are answered at once."""
        return not self.dead and self._going.is_set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def gate(self) -> None:
        """Go on when the process runs; never where it is dead."""
        while not self._going.is_set():
            await self._going.wait()
        if self.dead:
            await asyncio.Event().wait()

    def stop(self) -> None:
        self._going.clear()

    def cont(self) -> None:
        self._going.set()

    def kill(self) -> None:
        """SIGKILL: nothing more is written; its sockets are reset."""
        self.dead = True
        for task in list(self._tasks):
            task.cancel()
        for phone in self.world.phones:
            for stream in phone.streams:
                if stream.worker is self and stream.open:
                    self.world.soon(stream.close)

    async def leave(self, limit_s: float) -> None:
        """SIGTERM."""
        self.active.draining = True
        drainer = Drainer(
            limit_s,
            active=self.active,
            awaited=lambda: self.active.awaited,
            others_ready=lambda: self.heart.watch.others_ready,
            hand_over=lambda sid, _limit_s: self._letting_go.add(sid),
            clock=asyncio.get_running_loop().time,
        )
        await drainer.run(asyncio.Event())
        await self.heart.close()
        self.kill()

    # -- what Twilio asks ----------------------------------------------------------------------

    async def voice(self, phone: Phone) -> Ticket | None:
        await self.gate()
        entry = self.active.admit(
            call_sid=phone.sid, account_sid=ACCOUNT, direction="inbound", from_="+1", to="+2"
        )
        return None if entry is None else self._ticket(entry, 1)

    async def what_next(self, phone: Phone, ended: int) -> Ticket | None:
        """The ticket for another stream; None: the call is hung up."""
        await self.gate()
        asked = CallRequest(phone.sid, ACCOUNT, "inbound", "+1", "+2", CallStatus.IN_PROGRESS, None)
        entry = await self.takeover.asked(asked, ended=ended)
        if ended < entry.streams and entry.undecided:
            return self._ticket(entry, ended + 1)
        if entry.undecided and not await self.active.stream_ended(entry):
            return None
        step = continue_call(entry, AGENT, now=asyncio.get_running_loop().time())
        if isinstance(step, Reconnect):
            return self._ticket(entry, entry.streams + 1)
        if self.active.get(entry.call_sid) is not entry:
            entry.fence += entry.state is not CallState.FINISHED
        self.active.finish(entry)
        return None

    def _ticket(self, entry: CallEntry, stream: int) -> Ticket:
        at = asyncio.get_running_loop().time()
        return Ticket(ACCOUNT, entry.call_sid, stream, "inbound", "+1", "+2", issued_at=at)

    async def media(self, phone: Phone, ticket: Ticket, stream: Stream) -> None:
        """Serve a stream: speak until somebody ends it."""
        await self.gate()
        try:
            entry = await self.takeover.started(ticket)
            with self.active.stream(entry):
                await self._speak(phone, entry, stream)
                # Until that is stored, a worker that stops takes it with it.
                if await self.store.settled() and stream.hung_up:
                    phone.finished = phone.finished or stream
        except StreamRefused:
            pass
        finally:
            if not self.dead:
                self.world.soon(stream.close)

    async def _speak(self, phone: Phone, entry: CallEntry, stream: Stream) -> None:
        claiming = self.spawn(self._claim(entry)) if entry.unclaimed else None
        loop = asyncio.get_running_loop()
        begins = loop.time() + DIAL_S
        try:
            while stream.open:
                await self.gate()
                if phone.sid in self._letting_go:
                    self._letting_go.discard(phone.sid)
                    self._decided(entry)
                    self.active.hand_over(entry)
                    return
                if loop.time() >= begins:
                    self.world.spoke(phone, stream)
                    if self.world.rng.random() < self.world.hang_up_chance:
                        self._decided(entry)
                        self.active.finish(entry)
                        stream.hung_up = stream.open
                        return
                await asyncio.sleep(FRAME_S)
            await self.gate()
            if stream.stopped:
                # It looks as if the caller had hung up.
                self._decided(entry)
                self.active.finish(entry)
        finally:
            if claiming is not None:
                claiming.cancel()

    def _decided(self, entry: CallEntry) -> None:
        if entry.unclaimed:
            entry.unclaimed = False
            entry.fence = entry.fence or int(entry.streams == 1)

    async def _claim(self, entry: CallEntry) -> None:
        while entry.unclaimed:
            try:
                await self.takeover.claim_later(entry)
            except StoreUnavailable:
                await asyncio.sleep(1.0)

    def _beat(self) -> None:
        self.heart.start()
        assert self.heart._task is not None
        self._tasks.add(self.heart._task)

    async def _finalise(self, call: StoredCall, _lost: bool) -> None:
        self.store.save_call(_finished(call.row))


class Uncounted:
    """Nobody looks at the figures."""

    def worker_died(self) -> None:
        return

    def call_steered(self, outcome: str) -> None:
        return


class Rest:
    """Twilio's REST API, as one worker gets at it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def redirect(self, call_sid: str, document: str) -> None:
        await self._worker.gate()
        world = self._worker.world
        await asyncio.sleep(world.rng.uniform(0.02, 0.2))
        phone = world.phone(call_sid)
        if phone is None or phone.over:
            raise CallAlreadyOver("over")
        phone.redirect.set()
        if world.rng.random() < 0.2:
            raise OutcomeUnknown("no answer")

    async def fetch(self, call_sid: str) -> Call | None:
        await self._worker.gate()
        phone = self._worker.world.phone(call_sid)
        if phone is None:
            return None
        status = CallStatus.COMPLETED if phone.over else CallStatus.IN_PROGRESS
        return Call(call_sid, status, "inbound", "", "", None, None, None, None, None, None)


class World:
    """All of it."""

    def __init__(self, rng: random.Random, *, workers: int = 3) -> None:
        self.rng = rng
        self.hang_up_chance = 0.002
        self.store = MemoryCallStore()
        self.phones: list[Phone] = []
        self._names = 0
        self.workers: list[Worker] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        for _ in range(workers):
            self.start_worker()

    def start_worker(self) -> Worker:
        self._names += 1
        worker = Worker(f"w{self._names}", self)
        self.workers.append(worker)
        return worker

    @property
    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.dead]

    def phone(self, sid: str) -> Phone | None:
        return next((phone for phone in self.phones if phone.sid == sid), None)

    def soon(self, then: Callable[[], None]) -> None:
        """After a moment on the network."""
        asyncio.get_running_loop().call_later(self.rng.uniform(0.001, 0.2), then)

    def spoke(self, phone: Phone, stream: Stream) -> None:
        """A worker has sent audio; what comes to a closed socket is not heard."""
        if stream.open:
            now = asyncio.get_running_loop().time()
            phone.words.append((now, stream))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def ring(self) -> Phone:
        phone = Phone(f"CA{len(self.phones) + 1}")
        self.phones.append(phone)
        self.spawn(self._call(phone))
        return phone

    async def ask_again(self, phone: Phone) -> None:
        """Repeat a question of before, late, at any worker; an answer to it opens a stream."""
        still_open = {stream.number for stream in phone.streams if stream.open}
        ended = {stream.number for stream in phone.streams} - still_open
        if not ended or not self.living:
            return
        worker = self.rng.choice(self.living)
        ticket = await worker.what_next(phone, self.rng.choice(sorted(ended)))
        if ticket is not None and not phone.over:
            stream = Stream(ticket.stream, self.rng.choice(self.living), second=True)
            stream.worker.spawn(stream.worker.media(phone, ticket, stream))
            phone.streams.append(stream)

    async def _call(self, phone: Phone) -> None:
        ticket = await self._asked(lambda worker: worker.voice(phone))
        while ticket is not None and not phone.over:
            ticket = await self._stream(phone, ticket)
        phone.over = True
        for stream in phone.streams:
            stream.stopped = True
            stream.close()

    async def _stream(self, phone: Phone, ticket: Ticket) -> Ticket | None:
        backends = self.living
        if not backends:
            return None
        await asyncio.sleep(self.rng.uniform(0.02, 0.2))
        stream = Stream(ticket.stream, self.rng.choice(backends))
        phone.streams.append(stream)
        if stream.worker.dead:
            stream.close()
        else:
            stream.worker.spawn(stream.worker.media(phone, ticket, stream))
        phone.redirect.clear()
        ended = asyncio.ensure_future(stream.closed.wait())
        moved = asyncio.ensure_future(phone.redirect.wait())
        await asyncio.wait({ended, moved}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        moved.cancel()
        if stream.open:
            stream.stopped = True
            stream.close()
        await asyncio.sleep(self.rng.uniform(0.01, 0.3))
        return await self._asked(lambda worker: worker.what_next(phone, ticket.stream))

    async def _asked(
        self, question: Callable[[Worker], Coroutine[Any, Any, Ticket | None]]
    ) -> Ticket | None:
        """Ask any worker; one that is stopped is often known to the balancer."""
        if not self.living:
            return None
        answering = [worker for worker in self.living if worker.answers]
        likely = answering if answering and self.rng.random() < 0.9 else self.living
        worker = self.rng.choice(likely)
        task = worker.spawn(question(worker))
        done, _ = await asyncio.wait({task}, timeout=ASK_TIMEOUT_S)
        if not done or task.cancelled():
            task.cancel()
            return None
        ticket: Ticket | None = task.result()
        return ticket


def two_voices(phone: Phone) -> list[str]:
    """Where one stream was heard between two words of another.

    A second stream is not what the caller hears; beside it another one may speak for as long as
    its worker needs to learn that the call is not its own any more.
    """
    heard: dict[Stream, list[float]] = {}
    for at, stream in phone.words:
        heard.setdefault(stream, []).append(at)
    wrong: list[str] = []
    found = list(heard.items())
    for place, (stream, words) in enumerate(found):
        for other, others in found[place + 1 :]:
            both_s = FRAME_S * min(_within(words, others), _within(others, words))
            if both_s > (LEARNS_S if stream.second or other.second else 0.0):
                wrong.append(
                    f"stream {stream.number} of {stream.worker.name} and {other.number} of"
                    f" {other.worker.name} for {both_s:.2f} s"
                )
    return wrong


def _within(words: Sequence[float], others: Sequence[float]) -> int:
    """How many of the words were said between the first and the last of the others."""
    return sum(others[0] <= at <= others[-1] for at in words)


def revived(phone: Phone) -> bool:
    """Whether somebody spoke on a stream after the one on which the agent had hung up."""
    finished = phone.finished
    if finished is None or finished.second:
        return False
    return any(stream.number > finished.number for _, stream in phone.words)


def _finished(row: CallRow) -> CallRow:
    return replace(row, state="finished", owner="", fence=row.fence + 1)
