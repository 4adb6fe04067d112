"""Whoever tells an agent something hears in a sentence what became of it, whatever that is."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.store import MemoryCallStore
from tests.workers.call.test_messages import FakeLive
from workers.call.messages import MessagePoller
from workers.entrypoints.say_to_agent import MAX_CHARS, Failed, checked, say_to_agent
from workers.store.calls import CallRow, CallStore
from workers.store.messages import MessageKind, MessageOutcome
from workers.store.sql import SqlCallStore

CALL = "CA" + "1" * 32
COMMAND = "from workers.entrypoints.cli import main; main()"


def row(state: str = "in_progress", status: str = "in-progress") -> CallRow:
    return CallRow(CALL, "AC1", "inbound", "+15550100001", "+15550100002", state, status)


@pytest.fixture
def store() -> MemoryCallStore:
    made = MemoryCallStore()
    made.save_call(row())
    return made


@pytest.fixture
def live() -> FakeLive:
    return FakeLive()


@pytest.fixture
async def poller(store: MemoryCallStore, live: FakeLive) -> AsyncIterator[MessagePoller]:
    made = MessagePoller(
        store,
        {CALL: live},
        is_over=lambda _call: True,
        worker="worker 1",
        poll_s=0.01,
        watch_s=0.005,
    )
    made.start()
    yield made
    await made.close()


async def say(
    store: CallStore,
    kind: MessageKind = MessageKind.CONTEXT,
    *,
    within_s: float = 0.2,
    told: list[str] | None = None,
) -> list[str]:
    """Say something; what the operator reads."""
    told = [] if told is None else told
    await say_to_agent(
        store,
        CALL,
        kind,
        "be brief",
        tell=told.append,
        taken_within_s=within_s,
        told_within_s=within_s,
        look_s=0.005,
    )
    return told


@pytest.mark.usefixtures("poller")
async def test_agent_that_is_told_now(store: MemoryCallStore, live: FakeLive) -> None:
    """One sentence, once it has happened."""
    assert await say(store) == ["The agent has been told."]
    assert live.session.heard == [("context", "be brief")]


@pytest.mark.usefixtures("poller")
async def test_instruction_that_is_replaced_now(store: MemoryCallStore, live: FakeLive) -> None:
    """The sentence says that it was the instruction."""
    assert await say(store, MessageKind.INSTRUCTION) == ["The agent has its new instruction."]
    assert live.session.heard == [("instruction", "be brief")]


@pytest.mark.usefixtures("poller")
async def test_agent_that_is_told_at_the_next_move(store: MemoryCallStore, live: FakeLive) -> None:
    """First that it waits and for what, then, if somebody still listens, that it was told."""
    live.session.how, live.session.told = "next_move", False
    told: list[str] = []
    saying = asyncio.create_task(say(store, within_s=5, told=told))
    async with asyncio.timeout(2):
        while not told:  # noqa: ASYNC110  plain data
            await asyncio.sleep(0.005)
    assert "next connection, which was asked for at the next quiet moment" in told[0]
    live.session.updates[0].done_s = 9.0
    assert (await saying)[1:] == ["The agent has been told."]


@pytest.mark.usefixtures("poller")
async def test_quiet_moment_that_does_not_come_in_time(
    store: MemoryCallStore, live: FakeLive
) -> None:
    """It is no failure: the message stays with the session."""
    live.session.how, live.session.told = "next_move", False
    told = await say(store)
    assert len(told) == 2
    assert told[1] == "It has not been told within 0.2 s; it will be, unless the call ends."


@pytest.mark.usefixtures("poller")
async def test_text_that_the_session_refuses(store: MemoryCallStore, live: FakeLive) -> None:
    """Its sentence is handed on, and the exit code says that the command was wrong."""
    live.session.raises = ValueError("the text is too long")
    with pytest.raises(Failed, match="The agent was not told: the text is too long") as caught:
        await say(store)
    assert caught.value.code == 2


@pytest.mark.usefixtures("poller")
async def test_worker_that_fails_to_tell(store: MemoryCallStore, live: FakeLive) -> None:
    """That is no fault of the command's."""
    live.session.raises = RuntimeError("a bug")
    with pytest.raises(Failed, match="an error of the worker's; see its log") as caught:
        await say(store)
    assert caught.value.code == 1


@pytest.mark.usefixtures("poller")
async def test_call_that_ends_before_the_agent_is_told(
    store: MemoryCallStore, live: FakeLive
) -> None:
    """What was promised for the next move did not come true."""
    live.session.how, live.session.told = "next_move", False
    told: list[str] = []
    saying = asyncio.create_task(say(store, within_s=5, told=told))
    async with asyncio.timeout(2):
        while not told:  # noqa: ASYNC110  plain data
            await asyncio.sleep(0.005)
    store.settle_message(1, MessageOutcome.OVER)
    with pytest.raises(Failed, match="The call ended before the agent was told") as caught:
        await saying
    assert caught.value.code == 1


async def test_unknown_call(store: MemoryCallStore) -> None:
    """Nothing is left for it."""
    store.rows.clear()
    with pytest.raises(Failed, match=f"There is no call {CALL}"):
        await say(store)
    assert store.messages == {}


@pytest.mark.parametrize(
    ("state", "status", "sentence"),
    [
        ("in_progress", "completed", "is over"),
        ("finished", "in-progress", "is over"),
        ("apology", "in-progress", "is over"),
        ("transfer", "in-progress", "was transferred"),
    ],
)
async def test_call_without_an_agent(
    store: MemoryCallStore, state: str, status: str, sentence: str
) -> None:
    """Nothing is left for it either."""
    store.save_call(row(state, status))
    with pytest.raises(Failed, match=sentence):
        await say(store)
    assert store.messages == {}


async def test_message_that_no_worker_takes_is_withdrawn(store: MemoryCallStore) -> None:
    """A worker that comes an hour later finds nothing."""
    with pytest.raises(Failed, match=r"No worker took the message within 0\.05 s"):
        await say(store, within_s=0.05)
    assert await store.take_messages((CALL,), taker="late") == []


async def test_message_taken_in_the_last_moment_is_followed(store: MemoryCallStore) -> None:
    """It can no longer be withdrawn, so it is not said to be."""

    async def take_and_tell() -> None:
        (message,) = await store.take_messages((CALL,), taker="worker 1")
        store.settle_message(message.id, MessageOutcome.TOLD)

    withdraw = store.withdraw_message

    async def too_late(number: int, *, deadline_s: float = 2.0) -> bool:
        await take_and_tell()
        return await withdraw(number)

    store.withdraw_message = too_late  # type: ignore[method-assign]
    assert await say(store, within_s=0.05) == ["The agent has been told."]


async def test_worker_that_dies_with_the_message(store: MemoryCallStore) -> None:
    """Not knowing is told as such."""
    saying = asyncio.create_task(say(store, within_s=0.1))
    await asyncio.sleep(0.02)
    assert await store.take_messages((CALL,), taker="worker 1")
    with pytest.raises(Failed, match="has not said what became of it"):
        await saying


async def test_store_that_goes_away_in_the_middle(store: MemoryCallStore) -> None:
    """That nothing was told would be a guess."""
    saying = asyncio.create_task(say(store, within_s=5))
    await asyncio.sleep(0.02)
    store.failing = True
    with pytest.raises(Failed, match="whether the agent was told is not known"):
        await saying


async def test_interrupted_message_is_withdrawn(store: MemoryCallStore) -> None:
    """Who stops the command does not mean it any more."""
    saying = asyncio.create_task(say(store, within_s=5))
    await asyncio.sleep(0.02)
    saying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saying
    assert store.messages[1].outcome is MessageOutcome.WITHDRAWN


async def test_message_interrupted_before_its_number_is_known_is_withdrawn(
    store: MemoryCallStore,
) -> None:
    """A worker could find it in the database before the command knows that it is there."""
    leave = store.leave_message

    async def leave_slowly(
        call_sid: str, kind: MessageKind, text: str, *, deadline_s: float = 2.0
    ) -> int:
        number = await leave(call_sid, kind, text, deadline_s=deadline_s)
        await asyncio.sleep(0.05)
        return number

    store.leave_message = leave_slowly  # type: ignore[method-assign]
    saying = asyncio.create_task(say(store, within_s=5))
    async with asyncio.timeout(2):
        while not store.messages:  # noqa: ASYNC110  plain data
            await asyncio.sleep(0.005)
    saying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saying
    assert store.messages[1].outcome is MessageOutcome.WITHDRAWN


def test_text_is_cleaned_of_what_kills_sessions() -> None:
    """Control characters and halves of surrogate pairs go, line ends stay."""
    assert checked("  one\x00\ntwo\ud800\x1b  ") == "one\ntwo"


def test_card_number_is_not_stored() -> None:
    """Nor, then, told to the agent."""
    text = checked("The card is 4111 1111 1111 1111, the order 4711.")
    assert "1111" not in text
    assert "the order 4711." in text


@pytest.mark.parametrize("text", ["", "  \n", "\x00\x07", "x" * (MAX_CHARS + 1)])
def test_text_that_is_none(text: str) -> None:
    """The command was wrong."""
    with pytest.raises(Failed, match=r"^TEXT: ") as caught:
        checked(text)
    assert caught.value.code == 2


class Shell:
    """Runs the command as a process, with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self._folder = folder

    async def start(self, *arguments: str, **env: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMAND, "call", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "EVERCALL_DATA_DIR": str(self.data),
                **env,
            },
        )

    async def run(self, *arguments: str, **env: str) -> tuple[int, str, str]:
        process = await self.start(*arguments, **env)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
async def served(shell: Shell) -> AsyncIterator[SqlCallStore]:
    """A worker's database with one call."""
    sql = SqlCallStore(f"sqlite:///{shell.data / 'evercall.sqlite3'}")
    sql.save_call(row())
    assert await sql.flush()
    yield sql
    await sql.close()


async def test_command_reaches_a_worker_in_another_process(
    shell: Shell, served: SqlCallStore, live: FakeLive
) -> None:
    """Through the database alone; exit code 0 and the sentence on the terminal."""
    poller = MessagePoller(served, {CALL: live}, is_over=lambda _call: True, poll_s=0.05)
    poller.start()
    code, out, err = await shell.run("say-to-agent", CALL, "The order has left.", "--instruction")
    await poller.close()
    assert (code, out, err) == (0, "The agent has its new instruction.\n", "")
    assert live.session.heard == [("instruction", "The order has left.")]


async def test_operator_reads_that_a_card_number_was_taken_out(shell: Shell) -> None:
    """The agent is told something else than was written, be it a long order number."""
    _, out, _ = await shell.run("say-to-agent", CALL, "Order 4111 1111 1111 1111 has left.")
    assert out == "A card number was taken out of the text: it must not be stored.\n"


async def test_command_that_is_interrupted_withdraws(shell: Shell, served: SqlCallStore) -> None:
    """Ctrl-C ends it with 130 and takes the message back."""
    process = await shell.start("say-to-agent", CALL, "Never mind.")
    async with asyncio.timeout(20):
        while await served.message_state(1) is None:  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130, (out, err)
    state = await served.message_state(1)
    assert state is not None
    assert state.outcome is MessageOutcome.WITHDRAWN


async def test_command_for_an_unknown_call(shell: Shell, served: SqlCallStore) -> None:
    """Exit code 1, one line."""
    code, out, err = await shell.run("say-to-agent", "CA404", "hello")
    assert (code, out, err) == (1, "", "There is no call CA404.\n")


async def test_command_makes_no_database(shell: Shell) -> None:
    """In the wrong folder it would find no call in an empty one and say that there is none."""
    code, _, err = await shell.run("say-to-agent", CALL, "hello")
    assert code == 2
    assert err.startswith("EVERCALL_DATA_DIR: there is no database ")
    assert list(shell.data.iterdir()) == []


async def test_command_while_the_store_is_away(shell: Shell) -> None:
    """The database's own words, without its password, and soon."""
    url = "postgresql://evercall:secret@127.0.0.1:1/evercall"
    async with asyncio.timeout(20):
        code, out, err = await shell.run("say-to-agent", CALL, "hello", EVERCALL_DATABASE_URL=url)
    assert (code, out) == (1, "")
    assert err.startswith("The store is away, the agent was told nothing: ")
    assert err.count("\n") == 1
    assert "refused" in err
    assert "secret" not in err
