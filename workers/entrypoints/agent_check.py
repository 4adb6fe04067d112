"""``evercall agent check``: everything that is wrong in an agent's file, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from agent.errors import AgentSpecError, SpecIssue
from agent.live.config import window_issues
from agent.live.filler import filler_issues
from agent.spec import load_agent
from agent.tools.declarations import importable_issues


def run_agent_check(file: Path) -> int:
    """Print the verdict and return the exit code: 0 when the file can be used, else 1."""
    try:
        spec = load_agent(file)
    except AgentSpecError as error:
        return _report(error.issues)
    if issues := [*importable_issues(spec), *filler_issues(spec), *window_issues(spec)]:
        return _report(issues)
    typer.echo(f"{file}: agent {spec.name}, model {spec.model}, voice {spec.voice}: good")
    return 0


def _report(issues: Sequence[SpecIssue]) -> int:
    for issue in issues:
        typer.echo(str(issue), err=True)
    typer.echo(f"{len(issues)} problem{'s' if len(issues) > 1 else ''}", err=True)
    return 1
