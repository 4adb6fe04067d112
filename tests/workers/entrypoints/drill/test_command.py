"""``evercall drill`` as an operator types it: what it prints, and its exit code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from agent.conversation.record import MoveKind
from tests.workers.entrypoints.drill.samples import move, observed, recipe, with_record
from workers.entrypoints.cli import app
from workers.entrypoints.drill import command
from workers.entrypoints.drill.check import Check
from workers.entrypoints.drill.command import report, run_drill, verdict_table
from workers.entrypoints.drill.observed import Observed
from workers.entrypoints.drill.recipe import Recipe
from workers.entrypoints.drill.recipe_file import packaged

GOOD, BAD, UNUSABLE = 0, 1, 2
FILE = """\
title: A drop
what_must_hold: Nothing is lost.
caller: [hang_up]
expect: {connections: 2}
"""


@pytest.mark.parametrize("arguments", [["drill"], ["drill", "--list"], ["drill", "x", "--list"]])
def test_recipes_are_listed(arguments: list[str]) -> None:
    """Each by its name, beside what it is about; no call is made."""
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == GOOD
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == [file.stem for file in packaged()]
    assert "TCP reset in the middle of an answer" in done.output


def test_recipe_that_cannot_be_used(tmp_path: Path) -> None:
    """Exit code 2, a line for each mistake, no traceback and no folder."""
    file = tmp_path / "wrong.yaml"
    file.write_text("title: x\ntile: y\n", encoding="utf-8")
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["drill", str(file), "--out", str(out)])
    assert done.exit_code == UNUSABLE
    assert f"{file}:2: tile: unknown field" in done.output
    assert not out.exists()
    done = CliRunner().invoke(app, ["drill", "no-such", "--out", str(out)])
    assert done.exit_code == UNUSABLE
    assert "neither a file nor a packaged recipe" in done.output


def drill(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *seen: Observed | Exception, text: str = FILE
) -> tuple[int, list[str]]:
    """Run the command on calls that were made before; the names of the models they were for."""
    file = folder / "a-drop.yaml"
    file.write_text(text, encoding="utf-8")
    calls = list(seen)
    models: list[str] = []

    async def run_recipe(recipe: Recipe, out: Path | None = None) -> Observed:
        assert out is not None
        models.append(recipe.variant.model)
        found = calls.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(command, "run_recipe", run_recipe)
    return run_drill(str(file), folder / "out"), models


def test_drill_that_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Title, what must hold, the verdict, the reset reports, the files; exit code 0."""
    code, _ = drill(tmp_path, monkeypatch, observed(files=(("page", "out/call.html"),)))
    told = capsys.readouterr().out
    assert code == GOOD
    for words in ("A drop", "Nothing is lost.", "connections dialled", "out/call.html"):
        assert words in told
    assert "move 1  5.90 s: lost, abrupt, resume; took 300 ms; gap 0 ms" in told
    assert "FAILED" not in told
    assert (tmp_path / "out" / "drill.log").exists()


def test_drill_that_did_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and a mark on the line that says why."""
    code, _ = drill(tmp_path, monkeypatch, observed(refused_dials=1))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "FAILED" in line)
    assert code == BAD
    assert line.split() == ["✗", "FAILED", "connections", "dialled", "2", "3"]


def test_call_that_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It did not hold."""
    code, _ = drill(tmp_path, monkeypatch, TimeoutError("is ringing after 60 s"))
    assert code == BAD
    assert "is ringing after 60 s" in capsys.readouterr().out


def test_every_model_of_a_recipe_must_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is drilled, also after one that failed."""
    text = FILE + "also_models: [gemini-3.1-flash-live-preview]\n"
    bad = observed(refused_dials=1)
    code, models = drill(tmp_path, monkeypatch, bad, observed(), text=text)
    assert code == BAD
    assert models == ["gemini-3.8-live", "gemini-3.1-flash-live-preview"]
    assert drill(tmp_path, monkeypatch, observed(), observed(), text=text)[0] == GOOD


def test_repeated_calls_stop_at_the_first_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the one to read; the spread of the gaps is told in any case."""
    text = FILE + "repeat: 3\n"
    code, models = drill(tmp_path, monkeypatch, *[observed()] * 3, text=text)
    told = capsys.readouterr().out
    assert (code, len(models)) == (GOOD, 3)
    assert "3 moves, gap as heard: median 0 ms, p95 0 ms, most 0 ms" in told
    assert told.count("connections dialled") == 1
    bad = observed(refused_dials=1)
    code, models = drill(tmp_path, monkeypatch, observed(), bad, text=text)
    assert (code, len(models)) == (BAD, 2)
    assert "FAILED" in capsys.readouterr().out


def shown(checks: list[Check]) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100).print(verdict_table(checks))
    return stream.getvalue()


def test_verdict_is_read_without_colours_too() -> None:
    """And brackets in it are no markup."""
    told = shown([Check("a", "[b]", "c", ok=True), Check("d", "e", "f", ok=False)])
    assert "[b]" in told
    assert told.count("✓") == 1
    assert told.count("✗ FAILED") == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": None}, "lost, abrupt, no connection"),
        ({"kind": MoveKind.REFILL, "tries": 2}, "refill; took 300 ms; gap 0 ms"),
        ({"gap_ms": 321.4, "held_ms": 300.0, "cut_ms": 40.0}, "gap 321 ms; held 300 ms"),
        ({"detail": "close 1011"}, "tries 1; close 1011"),
    ],
)
def test_reset_report_as_a_line(fields: dict[str, Any], words: str) -> None:
    """Everything that is measured of a move."""
    assert words in report(move(**fields))


def test_sample_call_is_as_recorded(tmp_path: Path) -> None:
    """The samples these tests stand on hold themselves."""
    assert recipe(tmp_path).expect.connections is None
    assert len(with_record(moves=[move(), move()]).moves) == 2
