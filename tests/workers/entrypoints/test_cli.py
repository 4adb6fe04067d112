"""The command line: quick to help, and clear about an agent's file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

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


@pytest.mark.parametrize("command", [[], ["agent", "check"], ["call"], ["doctor"], ["serve"]])
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
    assert "Usage: evercall" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_names_every_command() -> None:
    """A newcomer finds the way from here."""
    told = CliRunner().invoke(app, ["--help"]).output
    for command in ("demo", "serve", "call", "doctor", "agent"):
        assert command in told


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


def test_missing_agent_file_is_one_line(tmp_path: Path) -> None:
    """No traceback."""
    done = CliRunner().invoke(app, ["agent", "check", str(tmp_path / "none.yaml")])
    assert done.exit_code == 1
    assert "cannot be read" in done.output
