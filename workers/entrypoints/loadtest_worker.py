"""A worker of a load test's own: ``evercall serve`` in processes, between the simulated ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from workers.entrypoints.demo_workers import served
from workers.entrypoints.free_port import free_port
from workers.loadtest.errors import LoadTestError
from workers.loadtest.model import AGENT
from workers.loadtest.plan import LiveSide, Plan
from workers.loadtest.stage import DEMO_ACCOUNT, Account
from workers.loadtest.under_test import Ends, StartWorker, UnderTest
from workers.settings import WorkerSettings
from workers.store.calls import CallStore, StoreUnavailable

# What a worker can carry is looked for; what it is allowed to would be found.
_MOST_CALLS: Final = 10_000
# One that was killed may be about to begin anew; before it has, it hears no signal.
_LEAVE_S: Final = (20.0, 10.0, 5.0)
_RECORD_S: Final = 5.0
_POLL_S: Final = 0.2
_PROC: Final = Path("/proc")


def own_worker(
    plan: Plan,
    *,
    log: Path,
    settings: WorkerSettings,
    port: int | None = None,
    public_url: str | None = None,
) -> StartWorker:
    """Start one for a plan that names no target.

    Args:
        plan: Says how many processes, and which agent.
        log: The worker's own log, appended to.
        settings: Where the key of the service is, if that plays the model.
        port: Where it listens; None: on a free one.
        public_url: What callers reach it by, where something stands in front of it.
    """
    # It runs in a folder of its own.
    agent = Path(plan.target.agent or AGENT).absolute()

    @asynccontextmanager
    async def start(ends: Ends) -> AsyncIterator[UnderTest]:
        environment = _live(plan, ends, settings)
        listens = port or free_port()
        own = f"http://127.0.0.1:{listens}"
        base = public_url or own
        processes = plan.target.processes
        parent: list[int] = []
        with TemporaryDirectory(prefix="evercall-loadtest-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            try:
                async with served(
                    agent=agent,
                    port=listens,
                    folder=folder,
                    log=log,
                    words=("serve", "--processes", str(processes)),
                    processes=processes,
                    leave_s=_LEAVE_S,
                    on_started=parent.append,
                    settings={
                        **environment,
                        "TWILIO_ACCOUNT_SID": ends.account_sid,
                        "TWILIO_AUTH_TOKEN": ends.auth_token,
                        "EVERCALL_TWILIO_BASE_URL": ends.twilio_url,
                        "EVERCALL_PUBLIC_URL": base,
                        "EVERCALL_DATA_DIR": str(folder),
                        "EVERCALL_DATABASE_URL": f"sqlite:///{folder / 'evercall.sqlite3'}",
                        "EVERCALL_MAX_CALLS": str(_MOST_CALLS),
                        "EVERCALL_DRAIN_S": "0",
                    },
                ) as store:
                    yield UnderTest(
                        voice_url=f"{base}/voice",
                        status_url=f"{base}/voice/status",
                        metrics_url=f"{own}/metrics",
                        pids=_serving(parent[0], alone=processes == 1),
                        reset_gaps_ms=_reset_gaps(store),
                    )
            except RuntimeError as error:
                raise LoadTestError(f"The worker cannot be started: {error}. See {log}.") from error

    return start


def account_of(plan: Plan, settings: WorkerSettings) -> Account:
    """Return the Twilio account that a plan's worker believes in."""
    sid, token = settings.twilio_account_sid, settings.twilio_auth_token
    if plan.target.voice_url is None or not sid or not token:
        return DEMO_ACCOUNT
    # One that runs already believes in webhooks that are signed with its own account's token.
    return Account(sid, token.get_secret_value())


def _live(plan: Plan, ends: Ends, settings: WorkerSettings) -> Mapping[str, str]:
    if plan.live is LiveSide.TWIN:
        assert ends.live_url is not None
        assert ends.live_ca_file is not None
        return {
            "GOOGLE_API_KEY": ends.live_key,
            "GOOGLE_GEMINI_BASE_URL": ends.live_url,
            "SSL_CERT_FILE": ends.live_ca_file,
        }
    if settings.google_api_key is None:
        raise LoadTestError("The real Live API needs a key: set GOOGLE_API_KEY.")
    base = settings.google_base_url
    return {
        "GOOGLE_API_KEY": settings.google_api_key.get_secret_value(),
        **({"GOOGLE_GEMINI_BASE_URL": base} if base else {}),
        **({"SSL_CERT_FILE": str(settings.ssl_cert_file)} if settings.ssl_cert_file else {}),
    }


def _serving(parent: int, *, alone: bool) -> Callable[[], Sequence[int]]:
    """Look for the processes that serve: the command itself, or its children."""

    def look() -> Sequence[int]:
        if alone:
            return (parent,)
        try:
            return tuple(
                int(pid)
                for task in (_PROC / str(parent) / "task").iterdir()
                for pid in (task / "children").read_text().split()
            )
        except OSError:
            return ()

    return look


def _reset_gaps(store: CallStore) -> Callable[[str], Awaitable[tuple[float, ...]]]:
    async def ask(call_sid: str) -> tuple[float, ...]:
        """Wait for the last version of the record, as long as one may take to be written."""
        deadline_s = time.monotonic() + _RECORD_S
        while True:
            try:
                stored = await store.load_call(call_sid)
            except StoreUnavailable:
                stored = None
            record = stored.record if stored is not None else None
            if record is not None and record.end_reason is not None:
                return tuple(move.gap_ms for move in record.moves)
            if time.monotonic() >= deadline_s:
                return ()
            await asyncio.sleep(_POLL_S)

    return ask
