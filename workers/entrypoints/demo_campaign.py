"""``evercall demo --campaign``: a list of people is called, from the CSV file to the report.

All of it is the real thing (import, rehearsal, Celery worker and beat on the broker that needs no
server, web server, webhooks, media streams); only Twilio and the Live API are simulated, with
people, voicemails and numbers that do not exist behind them.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson
import uvloop
from rich.console import Console
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from workers.entrypoints.campaign.imported import run_import
from workers.entrypoints.campaign.moved import run_move
from workers.entrypoints.campaign.opened import Failed, opened_engine
from workers.entrypoints.campaign.opened import console as campaign_console
from workers.entrypoints.campaign.rehearsed import Assumed, run_rehearse
from workers.entrypoints.campaign.suppressing import run_import as run_suppress_import
from workers.entrypoints.campaign.watched import Watcher, watch
from workers.entrypoints.campaign.written import run_export, run_report
from workers.entrypoints.demo import API_KEY
from workers.entrypoints.demo_campaign_files import where, write_files
from workers.entrypoints.demo_campaign_plan import RECORDED, Numbers, model
from workers.entrypoints.demo_campaign_verdict import what_went_wrong
from workers.entrypoints.demo_caught import until_caught
from workers.entrypoints.demo_workers import served
from workers.entrypoints.free_port import free_port
from workers.logs import start_logs
from workers.settings import WorkerSettings, load_settings
from workers.store.calls import StoreUnavailable
from workers.twin.live_api.server import LiveTwin
from workers.twin.twilio_api.ledger import LedgerEntry
from workers.twin.twilio_api.server import TwilioTwin

NAME = "saturday-orders"
CALLER = "+12125550100"
_CAMPAIGN_S = 150.0
"""It takes a third of that; then something is wrong."""
_CALLS_PER_SECOND = 3
_UP = ("up", "--concurrency", "3")
_LEAVE_S = (6.0, 4.0, 4.0)
_ASSUMED = Assumed(talk_s=15.0, answered=0.7, reached=0.8, price_per_minute=0.03)
_WRONG_SHOWN = 8
_REPORT = "report.html"


class _Stopped(Exception):
    """The watch is over although the campaign is not."""


def run_campaign_demo(out: Path, *, open_page: Callable[[str], object] | None = None) -> int:
    """Run the campaign and leave its files in ``out``; the exit code is 0 when it went well.

    Args:
        out: a folder.
        open_page: shows the report's address to the user; None: it is told where it lies.
    """
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "demo.log"
    file.write_bytes(b"")
    with file.open("a", encoding="utf-8") as log:
        logs = start_logs("INFO", stream=log, console=False)
        caught: list[int] = []
        try:
            wrong = uvloop.run(until_caught(_demo(console, out), caught))
        except (TimeoutError, RuntimeError, Failed, SQLAlchemyError, StoreUnavailable) as error:
            wrong = [str(error) or type(error).__name__]
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]
        finally:
            logs.close()
    if wrong:
        more = "; …" if len(wrong) > _WRONG_SHOWN else ""
        told = f"The campaign did not go as planned: {'; '.join(wrong[:_WRONG_SHOWN])}{more}."
        console.print(f"{told} See {file}.", highlight=False, markup=False)
    elif open_page is not None:
        open_page((out / _REPORT).absolute().as_uri())
    return 1 if wrong else 0


async def _demo(console: Console, out: Path) -> list[str]:
    """Run it; returns what did not go as planned."""
    data_dir = (out / "data").absolute()
    await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
    data_dir.mkdir()
    settings = load_settings(
        env_file=None,
        data_dir=data_dir,
        database_url=f"sqlite:///{data_dir / 'evercall.sqlite3'}",
    )
    file = write_files(out / "campaign", where(_now()))
    with opened_engine(settings, make=True) as engine:
        operator = _Operator(console, engine)
        await operator.does(
            f"suppress import {file.parent / 'suppressed.csv'}",
            partial(run_suppress_import, file=file.parent / "suppressed.csv", region="US"),
        )
        await operator.does(f"campaign import {file}", partial(run_import, file=file))
        await operator.does(
            f"campaign rehearse {NAME} --talk-s 15 --answered 0.7 --reached 0.8 "
            "--price-per-minute 0.03",
            partial(run_rehearse, name=NAME, assumed=_ASSUMED),
        )
        return await _run(operator, settings, file, out)


class _Operator:
    """Shows commands, and does what they do."""

    def __init__(self, console: Console, engine: Engine) -> None:
        self.console = console
        self.engine = engine

    def says(self, words: str) -> None:
        """Show a command."""
        self.console.print(Text(f"\n$ evercall {words}", "bold"), soft_wrap=True)

    async def does(self, words: str, command: Callable[..., None]) -> None:
        """Show it and do it."""
        self.says(words)
        await asyncio.to_thread(command, self.engine, now=_now())


async def _run(operator: _Operator, settings: WorkerSettings, file: Path, out: Path) -> list[str]:
    """Start it, watch it to its end and write the files; returns what did not go as planned."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    numbers = Numbers()
    async with (
        LiveTwin(model, api_key=API_KEY) as live,
        TwilioTwin(numbers=[CALLER]) as twilio,
    ):
        twilio.on_dial, twilio.on_rest = numbers.dial, numbers.rest
        operator.says(f"up --agent {file.parent / 'agent.yaml'}    # in another terminal")
        async with served(
            agent=(file.parent / "agent.yaml").absolute(),
            port=port,
            folder=settings.data_dir,
            log=out / "demo.log",
            words=_UP,
            processes=1,
            leave_s=_LEAVE_S,
            settings={
                "GOOGLE_API_KEY": API_KEY,
                "GOOGLE_GEMINI_BASE_URL": live.base_url,
                "SSL_CERT_FILE": live.ca_file,
                "TWILIO_ACCOUNT_SID": twilio.account_sid,
                "TWILIO_AUTH_TOKEN": twilio.auth_token,
                "EVERCALL_TWILIO_BASE_URL": twilio.base_url,
                "EVERCALL_PUBLIC_URL": base,
                "EVERCALL_DATA_DIR": str(settings.data_dir),
                "EVERCALL_DATABASE_URL": settings.database,
                "EVERCALL_CALLS_PER_SECOND": str(_CALLS_PER_SECOND),
                "EVERCALL_DRAIN_S": "2",
                "EVERCALL_DRAIN_SETTLE_S": "0",
            },
        ):
            await operator.does(
                f"campaign start {NAME}",
                partial(run_move, name=NAME, verb="start", reason="", canary=None),
            )
            operator.says(f"campaign watch {NAME}")
            await _watch(operator.engine)
            return await _leave(operator, out, tuple(twilio.ledger))


async def _watch(engine: Engine) -> None:
    """Watch it until it is over.

    Raises:
        TimeoutError: it does not come to an end.
    """
    watcher = Watcher(engine, NAME, wall=time.time, clock=time.monotonic)
    stop = threading.Event()

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise _Stopped

    try:
        async with asyncio.timeout(_CAMPAIGN_S):
            await asyncio.to_thread(watch, watcher.look, campaign_console(), pause)
    finally:
        stop.set()


async def _leave(operator: _Operator, out: Path, ledger: Sequence[LedgerEntry]) -> list[str]:
    """Write the files; returns what did not go as planned."""
    for file, as_json in ((out / "contacts.csv", False), (out / "contacts.json", True)):
        await operator.does(
            f"campaign export {NAME} {file}{' --format json' if as_json else ''}",
            lambda engine, file=file, as_json=as_json, **_: run_export(
                engine, NAME, file, as_json=as_json
            ),
        )
    page = out / _REPORT
    await operator.does(f"campaign report {NAME} {page}", partial(run_report, name=NAME, file=page))
    recording = _recording(out / "data" / "recordings", ledger)
    if recording is not None:
        await asyncio.to_thread(shutil.copyfile, recording, out / "call.wav")
        operator.console.print(f"\nHear one of the calls: {out / 'call.wav'}", highlight=False)
    contacts = orjson.loads(await asyncio.to_thread((out / "contacts.json").read_bytes))
    wrong = what_went_wrong(contacts, ledger)
    if not wrong:
        operator.console.print(
            f"The twin has made {len(ledger)} calls, one for each attempt. Its answer to one "
            "request was lost: that call was looked for and found, not dialled again.",
            highlight=False,
        )
    return wrong if recording is not None else [*wrong, "there is no recording"]


def _recording(folder: Path, ledger: Iterable[LedgerEntry]) -> Path | None:
    sid = next((one.sid for one in ledger if one.to == RECORDED), None)
    return next(folder.glob(f"{sid}*"), None)


def _now() -> datetime:
    return datetime.now(UTC)
