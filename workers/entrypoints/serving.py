"""One process that takes calls until it is told to stop, alone or as one of several."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from agent.spec import AgentSpec
from workers.entrypoints.allocator import map_large_buffers
from workers.entrypoints.asgi import exposition
from workers.entrypoints.stream_counts import StreamCounts
from workers.entrypoints.supervisor.link import ParentLink
from workers.entrypoints.supervisor.recycling import RecycleLimits, watch_limits
from workers.entrypoints.supervisor.siblings import Siblings
from workers.entrypoints.worker import Worker, run_worker
from workers.logs import LogPipe
from workers.metrics import Metrics
from workers.settings import WorkerSettings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several processes has of its parent."""

    listener: socket.socket
    link: ParentLink
    siblings: Siblings
    counts: StreamCounts


async def serve_calls(
    settings: WorkerSettings,
    spec: AgentSpec,
    *,
    logs: LogPipe,
    host: str = "",
    port: int = 0,
    share: Share | None = None,
) -> None:
    """Take calls on ``host`` and ``port``, or on the socket that is shared.

    Raises:
        SettingsError: settings are missing or wrong; one line each.
        AgentSpecError: a tool or processor of the agent cannot be used.
        OSError: the address cannot be listened on, or the data folder not be written.
    """
    map_large_buffers()
    listener = share.listener if share else None
    if listener is not None:
        host = listener.getsockname()[0]
    gather = share.siblings.gather if share else None
    async with run_worker(
        settings,
        spec,
        host=host,
        port=port,
        logs=logs,
        listener=listener,
        counts=share.counts if share else None,
        gather=gather,
    ) as worker:
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

        async def drain(hurry: asyncio.Event) -> None:
            worker.active.draining = True
            if share is not None and share.link.replaced:
                worker.server.stop_accepting()
            elif share is not None:
                share.counts.leave()
            await worker.drainer.run(hurry)

        if share is None:
            await worker.server.run(drain)
            return
        async with _as_child(worker, settings, share):
            await worker.server.run(drain, stop=share.link.leave, hurry=share.link.hurry)


@asynccontextmanager
async def _as_child(worker: Worker, settings: WorkerSettings, share: Share) -> AsyncIterator[None]:
    """Tell siblings and parent what they want to know, until exit."""
    limits = RecycleLimits(settings.recycle_calls, settings.recycle_memory_mb)
    watching = asyncio.create_task(
        watch_limits(limits, share.link.recycle, calls=lambda: _streams_ended(worker.metrics)),
        name="recycling",
    )
    try:
        async with share.siblings.answering(
            lambda: exposition(worker.active, worker.metrics, worker.store)
        ):
            share.link.ready()
            yield
    finally:
        watching.cancel()


def _streams_ended(metrics: Metrics) -> int:
    return sum(
        int(sample.value)
        for family in metrics.streams_ended.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )
