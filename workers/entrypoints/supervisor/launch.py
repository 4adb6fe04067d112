"""``evercall serve`` with several processes: the address, the directory and the children's line."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import structlog

from workers.entrypoints.listener import listen
from workers.entrypoints.stream_counts import StreamCounts
from workers.entrypoints.supervisor.core import LEAVE_MARGIN_S, Supervision
from workers.entrypoints.supervisor.parent import Parent
from workers.logs import start_logs
from workers.settings import WorkerSettings

_log = structlog.get_logger(__name__)


def supervise(
    settings: WorkerSettings, *, agent: Path | None, host: str, port: int, processes: int
) -> int:
    """Serve in ``processes`` children until SIGTERM or SIGINT; return the exit code.

    Raises:
        OSError: the address cannot be had.
    """
    with (
        listen(host, port) as listener,
        # Readable for nobody else (mode 0700).
        tempfile.TemporaryDirectory(prefix="evercall-serve-", ignore_cleanup_errors=True) as folder,
    ):
        logs = start_logs(settings.log_level)
        # Opened here once: nothing that becomes of the directory is to end the parent.
        counts = [StreamCounts(Path(folder), place) for place in range(processes)]

        def command(place: int, link: int) -> list[str]:
            words = [str(place), str(listener.fileno()), str(link), folder]
            return [*_interpreter(), *words, *(["--agent", str(agent)] if agent else [])]

        parent = Parent(
            Supervision(processes, leave_s=settings.drain_s + LEAVE_MARGIN_S),
            command,
            listener=listener,
            environment=children_environment(settings),
            on_vacant=lambda place: counts[place].leave(),
        )
        try:
            _log.info(
                "supervisor.started",
                processes=processes,
                address=f"{host}:{listener.getsockname()[1]}",
                pid=os.getpid(),
            )
            return parent.run()
        finally:
            logs.close()


def children_environment(settings: WorkerSettings) -> Mapping[str, str]:
    """Return the parent's own, with a ticket secret: what one has signed is to be good for all."""
    secret = settings.ticket_secret.get_secret_value()
    made_up = "ticket_secret" not in settings.model_fields_set
    return {**os.environ, **({"EVERCALL_TICKET_SECRET": secret} if made_up else {})}


def _interpreter() -> list[str]:
    # A fresh one: what a parent has imported and opened is not for them, and a restart brings
    # a new release in. -P, where we have it: -m would put the current directory before all others.
    safe = [] if "" in sys.path or str(Path.cwd()) in sys.path else ["-P"]
    return [sys.executable, *safe, "-m", "workers.entrypoints.supervisor.child"]
