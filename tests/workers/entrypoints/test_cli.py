"""The command line: quick to help, and clear about an agent's file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.fakes.sample_call import wav_of
from workers.entrypoints import outbound
from workers.entrypoints.cli import app

DEMO_AGENT = Path(__file__).parents[3] / "workers" / "twin" / "data" / "demo-agent.yaml"
HELP = """
import sys
from workers.entrypoints.cli import main
sys.argv = ["evercall", *{arguments}, "--help"]
try:
    main()
finally:
    print(sorted({{"pipecat", "google.genai", "sqlalchemy", "starlette"}} & set(sys.modules)))
"""
IMPORTED = """
import sys
import workers.entrypoints.{module}
print(sorted({{"pipecat", "google.genai", "twilio", "starlette"}} & set(sys.modules)))
"""


COMMANDS = [
    [],
    ["agent", "check"],
    ["call"],
    ["call", "say-to-agent"],
    ["call", "export"],
    ["calls"],
    ["calls", "list"],
    ["calls", "show"],
    ["calls", "hand-over"],
    ["doctor"],
    ["loadtest"],
    ["serve"],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    """Whoever asks for help does not wait for Pipecat or google-genai."""
    done = subprocess.run(
        [sys.executable, "-c", HELP.format(arguments=command)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Usage: {' '.join(['evercall', *command])} " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", ["say_to_agent", "export_call", "calls.command"])
def test_looking_into_the_store_needs_no_worker(module: str) -> None:
    """Who tells an agent something in the middle of a call does not wait for Pipecat either."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(module=module)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_names_every_command() -> None:
    """A newcomer finds the way from here."""
    told = CliRunner().invoke(app, ["--help"]).output
    for command in ("demo", "serve", "call", "calls", "doctor", "agent"):
        assert command in told


def test_help_of_call_names_what_else_it_can_do() -> None:
    """Who asks for the help of dialling finds the other two; each says what it wants."""
    told = " ".join(CliRunner().invoke(app, ["call", "--help"]).output.split())
    assert "evercall call say-to-agent" in told
    assert "evercall call export" in told
    assert "--instruction" in CliRunner().invoke(app, ["call", "say-to-agent", "--help"]).output
    assert "--format" in CliRunner().invoke(app, ["call", "export", "--help"]).output


@pytest.mark.parametrize(
    "arguments",
    [
        ["+15550100002", "--agent", "a.yaml", "--port", "1"],
        ["--agent", "a.yaml", "--port", "1", "+15550100002"],
    ],
)
def test_call_with_a_number_dials(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Options may come before the number, as with any command."""
    dialled: list[object] = []

    def run_outbound(number: str, **options: object) -> int:
        dialled.append((number, options))
        return 7

    monkeypatch.setattr(outbound, "run_outbound", run_outbound)
    done = CliRunner().invoke(app, ["call", *arguments])
    options = {"agent": Path("a.yaml"), "caller_id": None, "host": "0.0.0.0", "port": 1}
    assert (done.exit_code, dialled) == (7, [("+15550100002", options)])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing argument"),
        (["--agent", "a.yaml"], "Missing argument"),
        (["+15550100002", "extra"], "unexpected extra argument"),
        (["say-to-agnet", "CA1", "hello"], "Did you mean 'call say-to-agent'?"),
        (["exprot", "CA1"], "Did you mean 'call export'?"),
        (["say-to-agent", "CA1"], "Missing argument"),
        (["export", "CA1", "--format", "xml"], "'xml' is not one of"),
    ],
)
def test_call_that_is_mistyped_dials_nobody(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    """Usage errors have exit code 2 and say what is meant."""
    monkeypatch.setattr(outbound, "run_outbound", lambda *_, **__: pytest.fail("dialled"))
    done = CliRunner().invoke(app, ["call", *arguments])
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.split())


@pytest.mark.parametrize("arguments", [[], ["CA1111", "--worker", "a:1:b"]])
def test_hand_over_wants_a_call_or_a_worker(arguments: list[str]) -> None:
    """Not neither, nor both: nobody guesses which calls are meant."""
    done = CliRunner().invoke(app, ["calls", "hand-over", *arguments])
    assert done.exit_code == 2
    assert "one of CALL and --worker is wanted" in " ".join(done.output.split())


def test_good_agent_file_is_said_to_be_good() -> None:
    """The example that ships is one."""
    done = CliRunner().invoke(app, ["agent", "check", str(DEMO_AGENT)])
    assert done.exit_code == 0
    assert "agent corner-bakery, model gemini-3.8-live, voice Kore: good" in done.output


def test_every_problem_of_an_agent_file_is_a_line(tmp_path: Path) -> None:
    """File, line and field of each, those of tools that cannot be imported too."""
    file = tmp_path / "agent.yaml"
    file.write_text("name: bakery\nvoise: Kore\nsystem_instruction: x\nlimits:\n  idle_s: -1\n")
    done = CliRunner().invoke(app, ["agent", "check", str(file)])
    assert done.exit_code == 1
    first, second, last = done.output.splitlines()
    assert first.startswith(f"{file}:2: voise: unknown field; did you mean voice?")
    assert second.startswith(f"{file}:5: limits.idle_s: ")
    assert last == "2 problems"
    file.write_text("name: bakery\nsystem_instruction: x\ntools: [nowhere:nothing]\n")
    done = CliRunner().invoke(app, ["agent", "check", str(file)])
    assert done.exit_code == 1
    assert done.output.startswith(f"{file}:3: tools[0]: ")


@pytest.fixture
def unheard_filler(tmp_path: Path) -> Path:
    """An agent's file that names a sound which is not there."""
    file = tmp_path / "agent.yaml"
    file.write_text("name: bakery\nsystem_instruction: x\nmoves:\n  filler: nowhere.wav\n")
    return file


def test_filler_that_is_not_there_is_a_line(unheard_filler: Path) -> None:
    """A gap in a call is no time to find that there is nothing to play."""
    done = CliRunner().invoke(app, ["agent", "check", str(unheard_filler)])
    assert done.exit_code == 1
    first, last = done.output.splitlines()
    assert first.startswith(f"{unheard_filler}:4: moves.filler: ")
    assert "nowhere.wav" in first
    assert last == "1 problem"
    (unheard_filler.parent / "nowhere.wav").write_bytes(wav_of(bytes(640), channels=1))
    assert CliRunner().invoke(app, ["agent", "check", str(unheard_filler)]).exit_code == 0
    (unheard_filler.parent / "nowhere.wav").write_bytes(wav_of(bytes(640), channels=2))
    done = CliRunner().invoke(app, ["agent", "check", str(unheard_filler)])
    assert done.output.startswith(f"{unheard_filler}:4: moves.filler: ")
    assert "mono" in done.output


def test_worker_does_not_start_without_its_filler(unheard_filler: Path, tmp_path: Path) -> None:
    """The same line, exit code 2, no traceback, and nothing has listened."""
    env = {
        "PATH": os.environ["PATH"],
        "GOOGLE_API_KEY": "key",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "token",
        "EVERCALL_PUBLIC_URL": "https://example.com",
        "EVERCALL_DATA_DIR": str(tmp_path / "data"),
    }
    arguments = ["serve", "--agent", str(unheard_filler), "--host", "127.0.0.1", "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-c", "from workers.entrypoints.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
    )
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert lines[-1].startswith(f"{unheard_filler}:4: moves.filler: ")
    assert "Traceback" not in done.stderr
    assert "server.listening" not in done.stdout + done.stderr


def test_missing_agent_file_is_one_line(tmp_path: Path) -> None:
    """No traceback."""
    done = CliRunner().invoke(app, ["agent", "check", str(tmp_path / "none.yaml")])
    assert done.exit_code == 1
    assert "cannot be read" in done.output
