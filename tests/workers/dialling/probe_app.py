"""The Celery app with a tick that leaves a trace, and a task that holds its process."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workers.dialling.celery_app import make_app
from workers.dialling.context import Context
from workers.settings import load_settings
from workers.store.database import open_engine

TRACES = "PROBE_TRACES"
HOLD = "probe.hold"
HOLD_S = 60.0
NAP = "probe.nap"
NAP_S = 3.0


def trace(word: str) -> None:
    """Add a line to the file that the test reads."""
    with Path(os.environ[TRACES]).open("a") as file:
        file.write(f"{word} {os.getpid()} {datetime.now(UTC).isoformat()}\n")


def _no_context() -> Context:
    # As where the database is away.
    open_engine("sqlite:////proc/none/db").connect()
    raise AssertionError("it cannot be opened")


app: Any = make_app(load_settings(None), _no_context)
del app.tasks["evercall.tick"]


@app.task(name="evercall.tick", shared=False)  # type: ignore[untyped-decorator]  # Celery's
def traced_tick() -> None:
    """Leave a trace instead of choosing anybody."""
    trace("tick")


@app.task(name=HOLD, shared=False)  # type: ignore[untyped-decorator]  # Celery's
def hold() -> None:
    """Take long, so that whoever runs it is killed in the midst of it."""
    trace("hold")
    time.sleep(HOLD_S)


@app.task(name=NAP, shared=False)  # type: ignore[untyped-decorator]  # Celery's
def nap() -> None:
    """Take a little longer than it takes to kill a broker."""
    trace("nap")
    time.sleep(NAP_S)
    trace("woke")
