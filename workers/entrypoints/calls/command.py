"""Runs ``evercall calls list``, ``show`` and ``hand-over``: settings in, exit code out.

0: done. 1: not done, or the store is away. 2: an argument or a setting is wrong. 130: interrupted.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console

from workers.entrypoints.calls.find import DEADLINE_S, Failed, find_call
from workers.entrypoints.calls.handed import hand_over_call, hand_over_worker
from workers.entrypoints.calls.listed import lines, look, print_table
from workers.entrypoints.calls.shown import call_json, print_call
from workers.entrypoints.complaint import complain
from workers.entrypoints.stored import opened_store, why_away
from workers.logs import start_logs
from workers.settings import SettingsError, load_settings
from workers.store.calls import CallStore, StoreUnavailable
from workers.store.messages import HAND_OVER_WITHIN_S

# Where nobody looks at a terminal; the tables fit it.
UNSEEN_WIDTH = 100
_INTERRUPTED = 130

Command = Callable[[CallStore], Coroutine[Any, Any, None]]


def run_list(*, ended_too: bool, numbers: bool, as_json: bool, workers: bool) -> int:
    """Print which calls and workers there are; with ``workers``, whether these live, too."""

    async def command(store: CallStore) -> None:
        calls, found = await look(store, ended_too=ended_too, twice=workers)
        now = datetime.now(UTC)
        if as_json:
            told = lines(calls, found if workers else (), now=now, numbers=numbers)
            if told:
                typer.echo("\n".join(told))
        else:
            console = _console()
            print_table(console, calls, found, now=now, numbers=numbers, ended_too=ended_too)

    return _run(command)


def run_show(call: str, *, numbers: bool, as_json: bool) -> int:
    """Print all that is known of a call."""

    async def command(store: CallStore) -> None:
        call_sid = (await find_call(store, call.strip())).row.call_sid
        recalled = await store.recall(call_sid, deadline_s=DEADLINE_S)
        if recalled is None:
            raise Failed(f"Call {call_sid} is gone from the store.")
        now = datetime.now(UTC)
        if as_json:
            typer.echo(call_json(recalled, now=now, numbers=numbers))
        else:
            print_call(_console(), recalled, now=now, numbers=numbers)

    return _run(command)


def run_hand_over(call: str | None, *, worker: str | None, within_s: float | None) -> int:
    """Have one call, or all calls of a worker, go on elsewhere; print where they went."""
    limit_s = HAND_OVER_WITHIN_S if within_s is None else within_s

    async def command(store: CallStore) -> None:
        # First, because a read says at once why there is no way to the database.
        await store.list_workers(deadline_s=DEADLINE_S)
        # The table for messages is made by then, where an older version has left none.
        if not await store.flush(deadline_s=DEADLINE_S):
            raise StoreUnavailable(f"nothing could be written to it within {DEADLINE_S:g} s")
        if worker is not None:
            await hand_over_worker(store, worker.strip(), within_s=limit_s, tell=typer.echo)
        elif call is not None:
            await hand_over_call(store, call.strip(), within_s=limit_s, tell=typer.echo)

    return _run(command)


def _run(command: Command) -> int:
    logs = start_logs("ERROR", stream=sys.stderr)
    try:
        asyncio.run(_with_store(command))
        sys.stdout.flush()
    except SettingsError as error:
        return complain(error)
    except StoreUnavailable as error:
        typer.echo(f"The store is away: {why_away(error)}", err=True)
        return 1
    except Failed as failed:
        typer.echo(str(failed), err=True)
        return failed.code
    except BrokenPipeError:
        # Whoever read it, such as `head`, has had enough; Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        logs.close()
    return 0


async def _with_store(command: Command) -> None:
    async with opened_store(load_settings()) as store:
        await command(store)


def _console() -> Console:
    seen = Console()
    return seen if seen.is_terminal else Console(width=UNSEEN_WIDTH)
