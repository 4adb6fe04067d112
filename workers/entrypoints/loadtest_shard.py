"""A process that makes its part of a load test's calls, as it is told to by its standard input."""

from __future__ import annotations

import os
import sys
from typing import Final

import uvloop

from workers.entrypoints.loadtest_worker import account_of
from workers.loadtest.errors import LoadTestError
from workers.loadtest.plan import Plan
from workers.loadtest.shards.pipe import pipe_of
from workers.loadtest.shards.shard import serve_shard
from workers.loadtest.stage import Account
from workers.logs import start_logs
from workers.settings import SettingsError, load_settings

COMMAND: Final = (sys.executable, "-c", f"from {__name__} import main; main()")


def main() -> None:
    """Serve one test, and leave."""
    # What anybody prints is no message.
    written = os.dup(1)
    os.dup2(2, 1)
    logs = start_logs("WARNING", stream=sys.stderr, console=False)
    try:
        uvloop.run(_serve(0, written))
    finally:
        logs.close()


async def _serve(read_fd: int, write_fd: int) -> None:
    await serve_shard(await pipe_of(read_fd, write_fd), _account)


def _account(plan: Plan) -> Account:
    try:
        return account_of(plan, load_settings())
    except SettingsError as error:
        raise LoadTestError(f"Its settings are wrong: {error}.") from error
