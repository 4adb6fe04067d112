"""One of several serving processes, as its parent starts it: ``python -m`` this module."""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.errors import AgentSpecError
from agent.spec import AgentSpec
from workers.entrypoints.complaint import complain
from workers.entrypoints.serve import loading, named_agent
from workers.entrypoints.stream_counts import StreamCounts
from workers.entrypoints.supervisor.link import ParentLink
from workers.entrypoints.supervisor.siblings import Siblings
from workers.logs import LogPipe, start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings


def main(words: Sequence[str] | None = None) -> int:
    """Serve; the exit code is 2 where a setting or the agent's file is wrong."""
    given = _arguments().parse_args(words)
    try:
        settings = load_settings(agent=given.agent)
        spec = named_agent(settings)
        # Slow, so after what may be wrong.
        _silence_banner()
        import uvloop

        logs = start_logs(settings.log_level, process=given.place)
        try:
            uvloop.run(_serve(settings, spec, logs, given))
        finally:
            logs.close()
    except (SettingsError, AgentSpecError, OSError) as error:
        return complain(error)
    return 0


async def _serve(
    settings: WorkerSettings, spec: AgentSpec, logs: LogPipe, given: argparse.Namespace
) -> None:
    with loading():
        from workers.entrypoints.serving import Share, serve_calls
    with (
        socket.socket(fileno=given.listener) as listener,
        ParentLink(socket.socket(fileno=given.link)) as link,
    ):
        siblings = Siblings(given.folder, given.place)
        counts = StreamCounts(given.folder, given.place)
        await serve_calls(settings, spec, logs=logs, share=Share(listener, link, siblings, counts))
        if link.parent_gone:
            # Its directory goes with the last of its children.
            with contextlib.suppress(OSError):
                StreamCounts.remove(given.folder)
                given.folder.rmdir()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Started by evercall serve --processes.")
    parser.add_argument("place", type=int, help="which of the processes this is")
    parser.add_argument("listener", type=int, help="file descriptor of the listening socket")
    parser.add_argument("link", type=int, help="file descriptor of the way to the parent")
    parser.add_argument("folder", type=Path, help="the parent's private directory")
    parser.add_argument("--agent", type=Path)
    return parser


def _silence_banner() -> None:
    # As in cli.py.
    from loguru import logger

    logger.remove()


if __name__ == "__main__":
    sys.exit(main())
