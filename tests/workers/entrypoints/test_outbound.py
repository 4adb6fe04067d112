"""One outbound call is dialled, served and told to its end, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from rich.console import Console

from agent.spec import load_agent
from telephony.errors import CarrierError, NumberRefused, SettingsRefused
from tests.workers.entrypoints.twins import GREETING, OURS, World, free_port, twins
from workers.entrypoints.outbound import CannotCall, place_call
from workers.settings import SettingsError, load_settings
from workers.twin.caller import CallerScript, HangUp, Step, WaitAgentDone, WaitSeconds
from workers.twin.caller import Say as Speak
from workers.twin.live_api.script import CallTool, LiveScript, Say, Turn
from workers.twin.twilio_api.callee import CalleeBehaviour

THEIRS = "+15550100077"
QUESTION, GOODBYE = "That was all, goodbye.", "Thank you and goodbye."
SCRIPT = LiveScript(
    opening=(Say(GREETING),),
    turns=(Turn(QUESTION, (CallTool("end_call"), Say(GOODBYE))),),
    answer_delay_s=0.1,
)
COMMAND = "from workers.entrypoints.cli import main; main()"
DEADLINE_S = 40.0


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    async with twins(monkeypatch, tmp_path, script=SCRIPT) as found:
        yield found


def callee(world: World, *steps: Step, **behaviour: object) -> None:
    """Say how the number behaves that is called."""
    fields = {"after_s": 0.3, "script": CallerScript.of(*steps), **behaviour}
    world.twilio.on_dial = lambda to: CalleeBehaviour(**fields)  # type: ignore[arg-type]  # by name


class Terminal:
    def __init__(self) -> None:
        self._out = io.StringIO()
        self.console = Console(file=self._out, width=110)

    @property
    def text(self) -> str:
        return self._out.getvalue()

    @property
    def lines(self) -> list[str]:
        """Without times and delays: who, and the first line of what."""
        told = [line for line in self.text.splitlines() if line[9:19].strip()]
        return [" ".join(line[9:100].split()) for line in told]


async def call(
    world: World,
    terminal: Terminal,
    stop: asyncio.Event | None = None,
    *,
    number: str = THEIRS,
    caller_id: str = OURS,
    port: int | None = None,
) -> int:
    async with asyncio.timeout(DEADLINE_S):
        return await place_call(
            load_settings(None),
            load_agent(world.agent),
            number,
            caller_id,
            host="127.0.0.1",
            port=world.port if port is None else port,
            console=terminal.console,
            stop=stop or asyncio.Event(),
        )


async def test_answered_call_is_told_to_its_end(world: World) -> None:
    """Who says what is told in order, and the exit code is 0."""
    callee(world, WaitAgentDone(), Speak(QUESTION))
    terminal = Terminal()
    assert await call(world, terminal) == 0
    assert terminal.lines[0] == f"ring bakery calls {THEIRS} from {OURS}"
    told = [line.partition(" ")[0] for line in terminal.lines]
    assert told == ["ring", "ring", "ring", "call", "agent", "caller", "tool", "agent", "end"]
    assert terminal.lines[1:3] == ["ring dialling", "ring ringing"]
    assert f"agent {GREETING}" in terminal.lines
    assert f"caller {QUESTION}" in terminal.lines
    assert terminal.lines[-1].startswith("end The agent said goodbye and hung up")
    (facts,) = world.twilio.facts.values()
    assert (facts.state, facts.direction) == ("completed", "outbound-api")
    assert not world.twilio.live_calls
    assert not world.live.open_sessions


async def test_callee_may_hang_up(world: World) -> None:
    """That is an end in order, too."""
    callee(world, WaitAgentDone(), HangUp())
    terminal = Terminal()
    assert await call(world, terminal) == 0
    assert terminal.lines[-1].startswith("end The caller hung up")


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("busy", "The line was busy"),
        ("no-answer", "Nobody answered"),
        ("failed", "The call could not be put through"),
    ],
)
async def test_unanswered_call_is_told_in_a_sentence(
    world: World, outcome: str, sentence: str
) -> None:
    """The exit code is 1, and no session was opened."""
    callee(world, outcome=outcome)
    terminal = Terminal()
    assert await call(world, terminal) == 1
    assert any(line.startswith(f"end {sentence}") for line in terminal.lines)
    assert not world.live.sessions


async def test_ctrl_c_while_it_rings_cancels_the_call(world: World) -> None:
    """Twilio may send no callback then, so it is asked."""
    callee(world, after_s=30.0)
    terminal, stop = Terminal(), asyncio.Event()
    calling = asyncio.create_task(call(world, terminal, stop))
    await _until(lambda: "ringing" in terminal.text)
    stop.set()
    assert await calling == 130
    (facts,) = world.twilio.facts.values()
    assert facts.state == "canceled"
    assert "cancelled before anybody answered" in terminal.text


async def test_refused_session_is_an_end_out_of_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callee heard an apology; the operator reads which setting it is."""
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    callee(world, WaitSeconds(1))
    terminal = Terminal()
    assert await call(world, terminal) == 1
    assert "GOOGLE_API_KEY" in terminal.text
    # A long folder folds the line, in the middle of the file's name if need be.
    assert "call.log" in "".join(terminal.text.split())


async def test_lost_callbacks_are_made_up_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio is asked from time to time."""
    monkeypatch.setattr("workers.entrypoints.outbound_call.ASK_EVERY_S", 0.3)
    monkeypatch.setattr("telephony.calls.twiml.STATUS_PATH", "/nowhere")
    callee(world, outcome="busy")
    terminal = Terminal()
    assert await call(world, terminal) == 1
    assert "The line was busy" in terminal.text


async def test_number_that_twilio_refuses_is_one_line(world: World) -> None:
    """It names neither the number nor more than the reason."""
    callee(world)
    with pytest.raises(NumberRefused) as caught:
        await call(world, Terminal(), number=OURS)
    assert "21211" in str(caught.value)
    with pytest.raises(SettingsRefused, match="EVERCALL_PHONE_NUMBER"):
        await call(world, Terminal(), caller_id="+15550100099")
    assert not world.twilio.facts


async def test_wrong_token_calls_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio refuses to dial."""
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "another")
    with pytest.raises(CarrierError, match="TWILIO_AUTH_TOKEN"):
        await call(world, Terminal())


async def test_missing_key_calls_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known before."""
    monkeypatch.delenv("GOOGLE_API_KEY")
    with pytest.raises(SettingsError, match="GOOGLE_API_KEY: is not set"):
        await call(world, Terminal())


async def test_taken_port_is_one_line(world: World) -> None:
    """A running worker is the usual reason."""
    async with world.served():
        with pytest.raises(CannotCall, match=f"127.0.0.1:{world.port}: is in use"):
            await call(world, Terminal())


async def test_public_address_of_another_worker_calls_nobody(world: World) -> None:
    """The tunnel leads to the worker that runs all day, and not to this process."""
    async with world.served():
        with pytest.raises(CannotCall, match="leads to another worker"):
            await call(world, Terminal(), port=free_port())
    assert not world.twilio.facts


async def test_public_address_that_leads_nowhere_calls_nobody(world: World) -> None:
    """The tunnel is not up."""
    with pytest.raises(CannotCall, match=r"EVERCALL_PUBLIC_URL.*Nobody was called"):
        await call(world, Terminal(), port=free_port())
    assert not world.twilio.facts


@contextlib.asynccontextmanager
async def command(world: World, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``evercall call`` as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        "call",
        *arguments,
        *("--host", "127.0.0.1", "--port", str(world.port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def output_of(world: World, *arguments: str) -> tuple[int | None, str]:
    async with asyncio.timeout(DEADLINE_S), command(world, *arguments) as process:
        output, _ = await process.communicate()
        return process.returncode, output.decode()


async def test_ctrl_c_hangs_an_answered_call_up(world: World) -> None:
    """The command itself, with a real signal."""
    callee(world)
    agent = ("--agent", str(world.agent))
    async with asyncio.timeout(DEADLINE_S), command(world, THEIRS, *agent) as process:
        await _until(lambda: world.twilio.live_sockets)
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
    assert process.returncode == 130
    assert b"hanging up" in output
    (facts,) = world.twilio.facts.values()
    assert facts.state == "completed"
    assert (world.data_dir / "call.log").exists()


async def test_what_is_wrong_is_one_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback, whatever was forgotten."""
    agent = ("--agent", str(world.agent))
    code, output = await output_of(world, "5551234", *agent)
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("NUMBER: must be a number in E.164 form")
    monkeypatch.delenv("EVERCALL_PUBLIC_URL")
    code, output = await output_of(world, THEIRS, *agent)
    assert (code, output) == (2, "EVERCALL_PUBLIC_URL: is not set\n")


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  (what is waited for signals nothing)
            await asyncio.sleep(0.01)
