"""``evercall up``: server, Celery worker and beat on one machine, kept running together."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from agent.errors import AgentSpecError
from workers.entrypoints.complaint import complain
from workers.entrypoints.keeping import Keeper, Part, printer
from workers.entrypoints.serve import named_agent
from workers.entrypoints.supervisor.core import LEAVE_MARGIN_S
from workers.entrypoints.supervisor.launch import children_environment
from workers.logs import start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings

# Longer than a task's hard limit: what it has asked Twilio for gets its answer.
WORKER_LEAVES_S = 90.0
BEAT_LEAVES_S = 10.0

_log = structlog.get_logger(__name__)


def run_up(*, agent: Path | None, host: str, port: int, concurrency: int) -> int:
    """Run all three until SIGTERM or SIGINT.

    Returns:
        0; 1 where a part had to be killed at the end; 2 where a setting, the agent's file or the
        address is wrong.
    """
    try:
        settings = load_settings(agent=agent)
        # Said once, and not by each of them.
        named_agent(settings)
        settings.twilio()
    except (SettingsError, AgentSpecError, OSError) as error:
        return complain(error)
    logs = start_logs(settings.log_level)
    try:
        parts = parts_of(settings, agent=agent, host=host, port=port, concurrency=concurrency)
        return asyncio.run(_run(parts, children_environment(settings)))
    finally:
        logs.close()


def parts_of(
    settings: WorkerSettings, *, agent: Path | None, host: str, port: int, concurrency: int
) -> tuple[Part, ...]:
    """What runs, in the order in which it is stopped.

    First nothing new is sent, then what was sent is done, and calls go on until the last.
    """
    named = ["--agent", str(agent)] if agent else []
    # Two on one host, with one broker, must not have one name.
    node = ["-n", f"evercall-{port}@%h"]
    return (
        Part("beat", _celery("beat"), leave_s=BEAT_LEAVES_S),
        Part(
            "worker",
            _celery(
                *("worker", "--concurrency", str(concurrency), *node),
                # They only serve workers that talk to each other; ours talk through rows.
                *("--without-gossip", "--without-mingle"),
            ),
            leave_s=WORKER_LEAVES_S,
        ),
        Part(
            "server",
            _child("evercall", "serve", "--host", host, "--port", str(port), *named),
            leave_s=settings.drain_s + LEAVE_MARGIN_S,
            hurries=True,
        ),
    )


async def _run(parts: tuple[Part, ...], environment: Mapping[str, str]) -> int:
    keeper = Keeper(parts, environment=environment, show=printer(sys.stderr))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, keeper.stop)
    _log.info("up.started", parts=[part.name for part in reversed(parts)])
    code = await keeper.run()
    _log.info("up.stopped", code=code)
    return code


def _celery(*words: str) -> tuple[str, ...]:
    return _child("celery", "-q", "-A", "workers.dialling.celery_main", *words)


def _child(*words: str) -> tuple[str, ...]:
    # -P, as in supervisor/launch.py.
    safe = [] if "" in sys.path or str(Path.cwd()) in sys.path else ["-P"]
    return (sys.executable, *safe, "-m", "workers.entrypoints.kept", *words)
