"""The server as production has it, on a wall clock that runs fast: the port is its argument."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from tests.fakes.scaled_wall import ScaledWall
from workers.entrypoints.serve import named_agent
from workers.entrypoints.worker import run_worker
from workers.fleet.watch import BEAT_S
from workers.logs import start_logs
from workers.settings import load_settings


async def _serve(port: int) -> None:
    settings = load_settings(None)
    wall = ScaledWall.of(os.environ)
    logs = start_logs(settings.log_level)
    spec = named_agent(settings)
    async with run_worker(
        settings,
        spec,
        host="127.0.0.1",
        port=port,
        logs=logs,
        wall=wall,
        # Nobody is dialled where no worker was seen for 15 s of this clock.
        beat_s=min(BEAT_S, 10.0 / wall.factor),
    ):
        # Until it is killed.
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
