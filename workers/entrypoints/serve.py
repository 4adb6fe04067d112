"""``evercall serve``: take calls until SIGTERM or SIGINT, in one process or several."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import AgentSpecError
from agent.spec import AgentSpec, load_agent
from workers.entrypoints.complaint import complain
from workers.logs import start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings


def run_serve(*, agent: Path | None, host: str, port: int, processes: int = 1) -> int:
    """Serve calls; the exit code is 2 where a setting, the agent's file or the address is wrong."""
    try:
        settings = load_settings(agent=agent)
        if processes > 1 or settings.recycle_calls or settings.recycle_memory_mb:
            # A process that is to be replaced needs somebody who does it.
            from workers.entrypoints.supervisor.launch import supervise

            return supervise(settings, agent=agent, host=host, port=port, processes=processes)
        return _serve_alone(settings, host, port)
    except (SettingsError, AgentSpecError, OSError) as error:
        return complain(error)


def named_agent(settings: WorkerSettings) -> AgentSpec:
    """Load the agent the settings name.

    Raises:
        SettingsError: they name none.
        AgentSpecError: its file cannot be used.
    """
    if settings.agent is None:
        raise SettingsError("EVERCALL_AGENT: is not set, and no --agent was given")
    return load_agent(settings.agent)


@contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage while modules are loaded.

    What they make stays, and walking it again and again took a tenth of a worker's start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _serve_alone(settings: WorkerSettings, host: str, port: int) -> int:
    spec = named_agent(settings)
    # A parent must not pay for these.
    with loading():
        import uvloop

        from workers.entrypoints.serving import serve_calls

    logs = start_logs(settings.log_level)
    try:
        uvloop.run(serve_calls(settings, spec, logs=logs, host=host, port=port))
    finally:
        logs.close()
    return 0
