"""Whoever hands a call over reads where it went, or in a sentence why it did not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from agent.conversation.record import EndReason
from tests.fakes.shared_call import FIRST, SECOND
from tests.fakes.store import MemoryCallStore
from tests.workers.call.test_messages import FakeLive
from tests.workers.entrypoints.calls.samples import CALL, OTHER, call_row, worker_row
from workers.call.messages import MessagePoller
from workers.entrypoints.calls.find import Failed
from workers.entrypoints.calls.handed import Pace, hand_over_call, hand_over_worker
from workers.store.messages import MessageOutcome

SOON = Pace(taken_s=0.2, resumed_s=0.3, look_s=0.005)


class Fleet:
    """Two workers on one store; the first one serves calls and does as it is told."""

    def __init__(self) -> None:
        self.store = MemoryCallStore()
        self.live: dict[str, FakeLive] = {}
        self.told: list[str] = []
        self.poller = MessagePoller(
            self.store,
            self.live,
            is_over=lambda _call: False,
            worker=FIRST,
            poll_s=0.01,
            watch_s=0.005,
        )

    def serve(self, call_sid: str = CALL) -> None:
        self.store.save_call(call_row(call_sid))
        self.live[call_sid] = FakeLive()

    def let_go(self, call_sid: str = CALL, reason: EndReason = EndReason.HANDED_OVER) -> None:
        """End the stream; nobody serves the call then."""
        self.store.save_call(call_row(call_sid, owner="", state="handed_over"))
        self.live.pop(call_sid).end(reason)

    async def take_up(self, call_sid: str = CALL, *, by: str = SECOND) -> None:
        await self.store.claim(call_row(call_sid), owner=by, stream=2, at=0.0)

    async def asked(self, call_sid: str = CALL) -> FakeLive:
        """Wait until its session was asked to hand over."""
        async with asyncio.timeout(2):
            while not self.live[call_sid].session.limits_s:  # noqa: ASYNC110  plain data
                await asyncio.sleep(0.002)
        return self.live[call_sid]

    async def hand_over(
        self, text: str = CALL, *, within_s: float = 0.5, pace: Pace = SOON
    ) -> None:
        await hand_over_call(self.store, text, within_s=within_s, tell=self.told.append, pace=pace)

    async def until(self, told: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(2):
            while not told(self.told):  # noqa: ASYNC110  plain data
                await asyncio.sleep(0.002)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    made = Fleet()
    made.serve()
    await made.store.beat(worker_row(FIRST), {CALL: 1})
    await made.store.beat(worker_row(SECOND), {})
    made.poller.start()
    yield made
    await made.poller.close()


async def test_call_goes_to_the_other_worker(fleet: Fleet) -> None:
    """Each step is told as it happens; in the end from where to where, and how long it took."""
    handing = asyncio.create_task(fleet.hand_over(CALL[-4:], within_s=12.5, pace=SOON))
    live = await fleet.asked()
    assert live.session.limits_s == [12.5]
    await fleet.until(lambda told: len(told) == 1)
    fleet.let_go()
    await fleet.until(lambda told: len(told) == 2)
    await fleet.take_up()
    await handing
    assert fleet.told[:2] == [
        "Its worker waits for a safe point, 12.5 s at most.",
        "Its worker has let go of the call.",
    ]
    assert fleet.told[2].startswith(f"{CALL}: {FIRST} → {SECOND}, stream 1 → 2, in 0.")
    assert len(fleet.told) == 3


async def test_call_that_comes_back_to_its_worker_is_handed_over_all_the_same(
    fleet: Fleet,
) -> None:
    """It is at another stream; that no other worker was ready is said beforehand."""
    await fleet.store.beat(worker_row(SECOND, beats=2, draining=True), {})
    handing = asyncio.create_task(fleet.hand_over())
    await fleet.asked()
    fleet.let_go()
    await fleet.take_up(by=FIRST)
    await handing
    assert fleet.told[0] == "No other worker is ready: the same one will take the call up again."
    assert f"{FIRST} → the same worker, stream 1 → 2" in fleet.told[-1]


async def test_call_that_was_taken_over_meanwhile_is_elsewhere(fleet: Fleet) -> None:
    """Where the message says that its stream ended otherwise, the call itself is believed."""
    handing = asyncio.create_task(fleet.hand_over())
    await fleet.asked()
    fleet.let_go(reason=EndReason.STREAM_LOST)
    await asyncio.sleep(0.05)
    await fleet.take_up()
    await handing
    assert f"{FIRST} → {SECOND}" in fleet.told[-1]


async def test_caller_who_hangs_up_first(fleet: Fleet) -> None:
    """There is nothing left to hand over."""
    handing = asyncio.create_task(fleet.hand_over())
    await fleet.asked()
    fleet.live.pop(CALL).end(EndReason.CALLER_HUNG_UP)
    await asyncio.sleep(0.05)
    fleet.store.save_call(call_row(owner="", state="finished"))
    with pytest.raises(
        Failed, match=r"^The call ended before it was handed over \(caller hung up\)\.$"
    ) as caught:
        await handing
    assert caught.value.code == 1


async def test_caller_who_is_put_through_first(fleet: Fleet) -> None:
    """A person has them now."""
    handing = asyncio.create_task(fleet.hand_over())
    await fleet.asked()
    fleet.store.save_call(call_row(owner="", state="transfer"))
    with pytest.raises(Failed, match="was put through before"):
        await handing


async def test_nobody_goes_on_with_the_call(fleet: Fleet) -> None:
    """The limit of the safe point is not waited for as well, once the stream has ended."""
    handing = asyncio.create_task(fleet.hand_over(within_s=60))
    await fleet.asked()
    fleet.let_go()
    async with asyncio.timeout(2):
        with pytest.raises(Failed, match=r"no worker has taken the call up within 0\.3 s"):
            await handing


async def test_session_that_does_not_let_go(fleet: Fleet) -> None:
    """It is not waited for without end."""
    with pytest.raises(Failed, match="the call is still there; see that worker's log"):
        await fleet.hand_over(within_s=0.05)


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (ValueError("it is ending"), "The worker would not hand it over: it is ending", 2),
        (RuntimeError("a bug"), "It was not handed over: an error of the worker's", 1),
    ],
)
async def test_session_that_refuses_or_fails(
    fleet: Fleet, error: Exception, sentence: str, code: int
) -> None:
    """Its sentence is handed on."""
    fleet.live[CALL].session.raises = error
    with pytest.raises(Failed, match=sentence) as caught:
        await fleet.hand_over()
    assert caught.value.code == code


async def test_worker_that_does_not_take_the_message(fleet: Fleet) -> None:
    """It is withdrawn: a worker that wakes up an hour later must not hand anything over."""
    del fleet.live[CALL]
    with pytest.raises(Failed, match=rf"{FIRST}, did not take the message within 0\.2 s"):
        await fleet.hand_over()
    assert fleet.store.messages[1].outcome is MessageOutcome.WITHDRAWN


@pytest.mark.parametrize(
    ("state", "status", "owner", "sentence"),
    [
        ("in_progress", "completed", FIRST, "is over"),
        ("finished", "in-progress", "", "is over"),
        ("transfer", "in-progress", "", "was transferred"),
        ("in_progress", "in-progress", "", "Nobody serves call"),
    ],
)
async def test_call_that_cannot_be_handed_over(
    fleet: Fleet, state: str, status: str, owner: str, sentence: str
) -> None:
    """Nobody is asked."""
    fleet.store.save_call(call_row(owner=owner, state=state, status=status))
    with pytest.raises(Failed, match=sentence):
        await fleet.hand_over()
    assert fleet.store.messages == {}


async def test_call_that_is_not_there(fleet: Fleet) -> None:
    """Nobody is asked either."""
    with pytest.raises(Failed, match="There is no live call CA404404"):
        await fleet.hand_over("CA404404")
    assert fleet.store.messages == {}


async def test_store_that_goes_away_in_the_middle(fleet: Fleet) -> None:
    """That nothing happened would be a guess."""
    handing = asyncio.create_task(fleet.hand_over())
    await fleet.asked()
    fleet.store.failing = True
    with pytest.raises(Failed, match="whether the call was handed over is not known"):
        await handing


async def test_interrupted_command_takes_the_message_back(fleet: Fleet) -> None:
    """As far as nobody has it yet."""
    await fleet.poller.close()
    handing = asyncio.create_task(fleet.hand_over(pace=replace(SOON, taken_s=5)))
    async with asyncio.timeout(2):
        while not fleet.store.messages:  # noqa: ASYNC110  plain data
            await asyncio.sleep(0.002)
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing
    assert fleet.store.messages[1].outcome is MessageOutcome.WITHDRAWN


async def test_all_calls_of_a_worker_go_elsewhere(fleet: Fleet) -> None:
    """One line for each as it gets there; those of other workers are left alone."""
    fleet.serve(OTHER)
    fleet.store.save_call(call_row("CA" + "7" * 32, owner=SECOND))
    handing = asyncio.create_task(
        hand_over_worker(fleet.store, FIRST[-8:], within_s=5, tell=fleet.told.append, pace=SOON)
    )
    for call_sid in (OTHER, CALL):
        await fleet.asked(call_sid)
        fleet.let_go(call_sid)
        await fleet.take_up(call_sid)
        await fleet.until(lambda told, sid=call_sid: any(sid in line for line in told))  # type: ignore[misc]
    await handing
    assert [line.split(":")[0] for line in fleet.told[:2]] == [OTHER, CALL]
    assert fleet.told[2:] == ["2 calls handed over."]
    assert len(fleet.store.messages) == 2


async def test_call_that_stays_does_not_hold_up_the_others(fleet: Fleet) -> None:
    """The exit code says that not all are elsewhere; each says why not."""
    fleet.serve(OTHER)
    fleet.live[OTHER].session.raises = RuntimeError("a bug")
    handing = asyncio.create_task(
        hand_over_worker(fleet.store, FIRST, within_s=5, tell=fleet.told.append, pace=SOON)
    )
    await fleet.asked()
    fleet.let_go()
    await fleet.take_up()
    with pytest.raises(Failed, match=r"^1 of 2 calls were handed over\.$"):
        await handing
    assert any(line.startswith(f"{OTHER}: It was not handed over") for line in fleet.told)


async def test_worker_without_calls_has_nothing_to_hand_over(fleet: Fleet) -> None:
    """That is no failure: a script may ask twice."""
    await hand_over_worker(fleet.store, SECOND, within_s=5, tell=fleet.told.append, pace=SOON)
    assert fleet.told == [f"{SECOND} serves no calls."]


async def test_worker_that_is_not_there(fleet: Fleet) -> None:
    """Neither on the list nor as the owner of a call."""
    with pytest.raises(Failed, match="There is no worker nowhere"):
        await hand_over_worker(fleet.store, "nowhere", within_s=5, tell=fleet.told.append)
