"""``evercall serve``: take calls until SIGTERM or SIGINT."""

from __future__ import annotations

import gc
from pathlib import Path

import structlog
import uvloop

from agent.errors import AgentSpecError
from agent.spec import AgentSpec, load_agent
from workers.entrypoints.complaint import complain
from workers.entrypoints.server import let_calls_end
from workers.entrypoints.worker import run_worker
from workers.logs import LogPipe, start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings

_log = structlog.get_logger(__name__)


def run_serve(*, agent: Path | None, host: str, port: int) -> int:
    """Serve calls; the exit code is 2 where a setting, the agent's file or the address is wrong."""
    try:
        settings = load_settings(agent=agent)
        spec = named_agent(settings)
        logs = start_logs(settings.log_level)
    except (SettingsError, AgentSpecError) as error:
        return complain(error)
    try:
        uvloop.run(_serve(settings, spec, host, port, logs))
    except (SettingsError, AgentSpecError, OSError) as error:
        return complain(error)
    finally:
        logs.close()
    return 0


def named_agent(settings: WorkerSettings) -> AgentSpec:
    """Load the agent the settings name.

    Raises:
        SettingsError: they name none.
        AgentSpecError: its file cannot be used.
    """
    if settings.agent is None:
        raise SettingsError("EVERCALL_AGENT: is not set, and no --agent was given")
    return load_agent(settings.agent)


async def _serve(
    settings: WorkerSettings, spec: AgentSpec, host: str, port: int, logs: LogPipe
) -> None:
    async with run_worker(settings, spec, host=host, port=port, logs=logs) as worker:
        _log.info(
            "server.listening",
            address=f"{host}:{worker.server.port}",
            public_url=settings.public_url,
            agent=spec.name,
            model=spec.model,
        )
        # All that start-up leaves stays: walking it again and again for garbage stopped every
        # call for 160 ms at a time (measured at 40 calls).
        gc.collect()
        gc.freeze()
        await worker.server.run(let_calls_end(worker.active))
