"""The doctor finds what is wrong, names the setting, and is not stopped by it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workers.entrypoints.twins import API_KEY, OURS, World, bare_environment, twins
from workers.entrypoints import doctor
from workers.entrypoints.checks.configured import Configured, read_settings
from workers.entrypoints.checks.finding import Finding, Outcome, ok
from workers.entrypoints.doctor import Check, diagnose
from workers.twin.text_model.server import TextModelTwin

CHECKS = [
    "settings",
    "agent",
    "Live API",
    "Twilio account",
    "phone number",
    "clock",
    "public name",
    "certificate",
    "worker",
    "media socket",
    "database",
    "data folder",
    "audio pacing",
]
COMMAND = "from workers.entrypoints.cli import main; main()"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    async with twins(monkeypatch, tmp_path) as found:
        found.point()
        yield found


class Report:
    def __init__(self) -> None:
        self.lines: list[tuple[str, Finding]] = []

    def __call__(self, name: str, finding: Finding) -> None:
        self.lines.append((name, finding))

    def of(self, name: str) -> Finding:
        (found,) = [finding for check, finding in self.lines if check == name]
        return found

    def not_ok(self) -> dict[str, Outcome]:
        # How fast this machine is, is not what is tested.
        return {
            name: finding.outcome
            for name, finding in self.lines
            if finding.outcome is not Outcome.OK and name != "audio pacing"
        }


async def report(agent: Path | None, *, point_number: bool = False) -> Report:
    told = Report()
    configured = read_settings(agent=agent, env_file=None)
    await diagnose(configured, told, point_number=point_number, pacing_frames=5)
    return told


async def test_all_is_well(world: World) -> None:
    """With everything in place each check says so, in the order of the report."""
    async with world.served():
        told = await report(world.agent)
    assert [name for name, _ in told.lines] == CHECKS
    assert told.not_ok() == {}
    (session,) = world.live.sessions
    assert not session.open
    assert session.setup is not None
    assert "end_call" in str(session.setup)


async def test_text_model_is_asked_where_the_agent_names_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the Live API, at its own address; without an agent's wish there is no such line."""
    summary = "context: {summary: {model: gemini-3.5-flash-lite}}\n"
    world.agent.write_text(world.agent.read_text() + summary)
    async with TextModelTwin(api_key=API_KEY, authority=world.live.authority) as text:
        monkeypatch.setenv("EVERCALL_TEXT_BASE_URL", text.base_url)
        async with world.served():
            told = await report(world.agent)
            assert told.not_ok() == {}
            names = [name for name, _ in told.lines]
            assert names == [*CHECKS[:3], "text model", *CHECKS[3:]]
            assert len(text.asked) == 1
            text.behave("error(429)")
            assert (await report(world.agent)).not_ok() == {"text model": Outcome.WARN}
    monkeypatch.setenv("EVERCALL_TEXT_BASE_URL", "nowhere")
    told = await report(world.agent)
    assert told.of("text model").text == "skipped: EVERCALL_TEXT_BASE_URL is wrong"


async def test_wrong_key_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that Google refuses costs the one check."""
    async with world.served():
        monkeypatch.setenv("GOOGLE_API_KEY", "another")
        told = await report(world.agent)
    assert told.not_ok() == {"Live API": Outcome.FAIL}
    assert told.of("Live API").text.startswith("GOOGLE_API_KEY: was refused")
    assert "aistudio.google.com" in told.of("Live API").mend


@pytest.mark.parametrize(
    ("field", "line"),
    [("voice: Kore", "voice: Nobody"), ("name: bakery", "model: gemini-0\nname: b")],
)
async def test_unknown_voice_or_model_is_named_with_its_line(
    world: World, field: str, line: str
) -> None:
    """The Live API says it only when a session is opened."""
    world.agent.write_text(world.agent.read_text().replace(field, line))
    told = await report(world.agent)
    finding = told.of("Live API")
    assert finding.outcome is Outcome.FAIL
    assert f"{world.agent}:" in finding.text
    assert finding.text.startswith(("voice: 'Nobody'", "model: 'gemini-0'"))


async def test_wrong_token_is_named_wherever_it_matters(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio refuses it, and so does a worker that was started with the right one."""
    async with world.served():
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "another")
        told = await report(world.agent)
    failed = Outcome.FAIL
    assert told.not_ok() == {
        "Twilio account": failed,
        "phone number": failed,
        "media socket": failed,
    }
    assert "TWILIO_AUTH_TOKEN" in told.of("Twilio account").text
    assert "TWILIO_AUTH_TOKEN" in told.of("media socket").mend


async def test_wrong_webhook_is_told_and_can_be_pointed_here(world: World) -> None:
    """``--point-number`` sets both webhooks of the number."""
    world.point("https://elsewhere.example")
    async with world.served():
        told = await report(world.agent)
        assert told.not_ok() == {"phone number": Outcome.FAIL}
        assert "https://elsewhere.example/voice" in told.of("phone number").text
        assert "--point-number" in told.of("phone number").mend
        pointed = await report(world.agent, point_number=True)
    assert pointed.not_ok() == {}
    number = world.twilio.numbers[OURS]
    assert number.voice_url == f"{world.public_url}/voice"
    assert number.status_callback == f"{world.public_url}/voice/status"


async def test_worker_that_is_not_running_is_told(world: World) -> None:
    """Everything that does not need it is still looked at."""
    told = await report(world.agent)
    assert told.not_ok() == {"worker": Outcome.FAIL, "media socket": Outcome.FAIL}
    assert "evercall serve" in told.of("worker").mend


async def test_missing_settings_skip_what_needs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without any setting the host itself is looked at."""
    bare_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    # Not the real Twilio's clock.
    monkeypatch.setenv("EVERCALL_TWILIO_BASE_URL", "http://127.0.0.1:1")
    told = await report(None)
    missing = {finding.text for name, finding in told.lines if name == "settings"}
    assert missing == {
        f"{name}: is not set"
        for name in (
            "GOOGLE_API_KEY",
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "EVERCALL_PUBLIC_URL",
            "EVERCALL_AGENT",
        )
    }
    skipped = {
        name: finding.text for name, finding in told.lines if finding.outcome is Outcome.SKIPPED
    }
    assert skipped == {
        "agent": "skipped: EVERCALL_AGENT is not set",
        "Live API": "skipped: GOOGLE_API_KEY is not set",
        "Twilio account": "skipped: TWILIO_ACCOUNT_SID is not set",
        "phone number": "skipped: TWILIO_ACCOUNT_SID is not set",
        "public name": "skipped: EVERCALL_PUBLIC_URL is not set",
        "certificate": "skipped: EVERCALL_PUBLIC_URL is not set",
        "worker": "skipped: EVERCALL_PUBLIC_URL is not set",
        "media socket": "skipped: TWILIO_ACCOUNT_SID is not set",
    }
    assert told.of("clock").outcome is Outcome.FAIL
    assert told.of("database").outcome is Outcome.OK
    assert told.of("data folder").outcome is Outcome.OK


async def test_broken_agent_file_hides_nothing(world: World) -> None:
    """Each of its problems is a line, and the key is tried with a stand-in."""
    async with world.served():
        world.agent.write_text("name: b\nvoise: Kore\ntools: [nix]\nsystem_instruction: x\n")
        told = await report(world.agent)
    lines = [finding.text for name, finding in told.lines if name == "agent"]
    assert [line.removeprefix(f"{world.agent}:")[:8] for line in lines] == ["2: voise", "3: tools"]
    assert told.not_ok() == {"agent": Outcome.FAIL}


async def test_check_that_hangs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check holds up the report."""
    monkeypatch.setattr(doctor, "CHECK_TIMEOUT_S", 0.01)

    async def hang() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    (finding,) = await doctor._examine(Check("slow", (), hang), _nothing_unusable())
    assert finding.outcome is Outcome.FAIL
    assert "no result within" in finding.text


async def test_check_that_breaks_is_a_finding() -> None:
    """A bug in one check is told in one line, and the others go on."""

    async def broken() -> list[Finding]:
        raise LookupError("oops")

    (finding,) = await doctor._examine(Check("odd", (), broken), _nothing_unusable())
    assert finding.text == "the check itself broke: LookupError: oops"


async def test_command_prints_a_line_each_and_exits_by_the_worst(world: World) -> None:
    """What a terminal shows: nothing but the report, and 1 where something fails."""
    async with world.served():
        code, lines = await doctor_command(world.agent)
        assert (code, lines[-1]) in ((0, "all well"), (0, "calls work; 1 to look at"))
        assert [line[5:19].strip() for line in lines[:-1] if line[:4].strip()] == CHECKS
    code, lines = await doctor_command(world.agent)
    assert code == 1
    assert lines[-1].startswith("2 to mend")


async def doctor_command(agent: Path) -> tuple[int | None, list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        "doctor",
        "--agent",
        str(agent),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode, output.decode().splitlines()


def _nothing_unusable() -> Configured:
    return Configured(read_settings(agent=None, env_file=None).settings, {}, (ok("good"),))
