"""What a command says when a setting, a file or an address is wrong."""

from __future__ import annotations

import typer


def complain(error: Exception) -> int:
    """Say what is wrong, one line each, and return the exit code."""
    typer.echo(str(error), err=True)
    return 2
