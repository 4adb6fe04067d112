"""``evercall call export``: the record of a call, as JSON or as text."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import typer

from agent.conversation.record import CallRecord
from workers.dashboard.export import record_json, record_text
from workers.entrypoints.complaint import complain
from workers.entrypoints.stored import opened_store, why_away
from workers.logs import start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings
from workers.store.calls import StoreUnavailable

DEADLINE_S = 10.0


class _NotThere(Exception):
    """There is nothing to export; why, in a sentence."""


def run_export(call_sid: str, *, as_text: bool, out: Path | None) -> int:
    """Write a call's record to a file or to the terminal.

    The exit code is 1 where there is no record or no way to it, 2 where a setting or the file is
    wrong.
    """
    logs = start_logs("ERROR")
    try:
        record = asyncio.run(_load(load_settings(), call_sid.strip()))
        text = record_text(record).encode() if as_text else record_json(record)
        if out is None:
            return _print(text)
        out.write_bytes(text)
    except (SettingsError, OSError) as error:
        return complain(error)
    except StoreUnavailable as error:
        typer.echo(f"The store is away: {why_away(error)}", err=True)
        return 1
    except _NotThere as error:
        typer.echo(str(error), err=True)
        return 1
    finally:
        logs.close()
    typer.echo(f"{out}: {len(text)} bytes")
    return 0


async def _load(settings: WorkerSettings, call_sid: str) -> CallRecord:
    async with opened_store(settings) as store:
        stored = await store.load_call(call_sid, deadline_s=DEADLINE_S)
    if stored is None:
        raise _NotThere(f"There is no call {call_sid}.")
    if stored.record is None:
        raise _NotThere(
            f"Call {call_sid} has no record: it gets one when its first media stream has ended."
        )
    return stored.record


def _print(text: bytes) -> int:
    try:
        sys.stdout.buffer.write(text if text.endswith(b"\n") else text + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read it, such as `head`, has had enough; Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
