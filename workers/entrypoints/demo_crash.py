"""``evercall demo --crash``: the worker is killed in mid-call, and the caller goes on talking.

Two workers serve behind one port, in processes of their own, as ``evercall serve --processes 2``
starts them. In the middle of an answer the one that has the call gets SIGKILL: nothing is said,
written or closed in order any more. The other has what the store has.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import uvloop
from rich.console import Console
from rich.text import Text

from agent.conversation.record import CallRecord
from workers.dashboard.console import CallConsole
from workers.dashboard.follow import CallFollower
from workers.dashboard.story import at
from workers.entrypoints.demo import API_KEY, POLL_S, leave_files
from workers.entrypoints.demo_calls import DATA
from workers.entrypoints.demo_caught import until_caught
from workers.entrypoints.demo_crash_verdict import Killed, what_it_cost, what_went_wrong
from workers.entrypoints.demo_workers import served
from workers.entrypoints.free_port import free_port
from workers.logs import start_logs
from workers.store.calls import CallStore, StoreUnavailable
from workers.twin import speech
from workers.twin.caller import load_script as load_caller
from workers.twin.live_api.script import load_script as load_model
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import Keep
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.server import TwilioTwin

KILLED_IN = "agent_hours"
"""The answer in the middle of which it happens, once the caller has heard so much of it."""
HEARD_MS = 4_000
# What Live connections are taken to cost: the real ones have not been measured.
_SETUP_S, _RESUME_S = 0.5, 0.3
_CALL_S = 75.0
_RECORD_S = 10.0


def run_crash_demo(out: Path) -> int:
    """Make the call and leave its files in ``out``; the exit code is 0 when it went well."""
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "demo.log"
    file.write_bytes(b"")
    with file.open("a", encoding="utf-8") as log:
        logs = start_logs("INFO", stream=log, console=False)
        caught: list[int] = []
        try:
            wrong = uvloop.run(until_caught(_demo(console, out), caught))
        except (TimeoutError, RuntimeError, StoreUnavailable) as error:
            wrong = [str(error) or type(error).__name__]
        except asyncio.CancelledError:
            if not caught:
                raise
            return 128 + caught[0]
        finally:
            logs.close()
    if wrong:
        told = f"The call did not go as planned: {'; '.join(wrong)}. See {file}."
        console.print(told, highlight=False, markup=False)
    return 1 if wrong else 0


async def _demo(console: Console, out: Path) -> list[str]:
    """Make the call; returns what did not go as planned."""
    told = CallConsole(console)
    data_dir = (out / "data").absolute()
    await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
    data_dir.mkdir()
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with (
        LiveTwin(
            load_model(DATA / "crash-live.yaml"),
            api_key=API_KEY,
            setup_delay_s=_SETUP_S,
            resume_delay_s=_RESUME_S,
            keep=Keep(arrivals=True),
        ) as live,
        # A kept connection would lead to the process that answered before.
        TwilioTwin(keep_alive=False) as twilio,
        served(
            agent=DATA / "crash-agent.yaml",
            port=port,
            folder=data_dir,
            log=out / "demo.log",
            settings={
                "GOOGLE_API_KEY": API_KEY,
                "GOOGLE_GEMINI_BASE_URL": live.base_url,
                "SSL_CERT_FILE": live.ca_file,
                "TWILIO_ACCOUNT_SID": twilio.account_sid,
                "TWILIO_AUTH_TOKEN": twilio.auth_token,
                "EVERCALL_TWILIO_BASE_URL": twilio.base_url,
                "EVERCALL_PUBLIC_URL": base,
                "EVERCALL_DATA_DIR": str(data_dir),
                "EVERCALL_DATABASE_URL": f"sqlite:///{data_dir / 'evercall.sqlite3'}",
                "EVERCALL_DRAIN_S": "0",
            },
        ) as store,
    ):
        told.ring(f"two workers, on the twin at {base}")
        call = await twilio.place_inbound_call(
            f"{base}/voice",
            caller=load_caller(DATA / "crash-caller.yaml"),
            status_url=f"{base}/voice/status",
        )
        killing = asyncio.create_task(_kill(store, live, call))
        teller = _Teller(console, told, call, killing)
        try:
            record, result = await _follow(teller, store, call)
            if not killing.done():
                return ["the call was over before its worker could be killed"]
            killed = await killing
        finally:
            killing.cancel()
        logs = list(live.sessions)
    told.ended(record.end_reason, record.detail, at_s=record.ended_s)
    recording = next((data_dir / "recordings").glob(f"{call.sid}*"), None)
    await asyncio.to_thread(leave_files, told, out, record, recording)
    for sentence in what_it_cost(record, result, logs, killed):
        console.print(sentence, highlight=False)
    wrong = what_went_wrong(record, result, logs, killed)
    return wrong if recording is not None else [*wrong, "there is no recording"]


async def _kill(store: CallStore, live: LiveTwin, call: TwinCall) -> Killed:
    """Kill the worker that serves the call, once the caller has heard enough of the answer."""
    while _heard_ms(live, call) < HEARD_MS:  # noqa: ASYNC110  the twin tells nobody
        await asyncio.sleep(POLL_S / 4)
    stored = await store.load_call(call.sid)
    owner = stored.row.owner if stored is not None else ""
    pids = {worker.worker: worker.pid for worker in await store.list_workers()}
    if owner not in pids:
        raise RuntimeError(f"the store does not say who serves the call, but {owner!r}")
    os.kill(pids[owner], signal.SIGKILL)
    return Killed(owner, time.monotonic())


def _heard_ms(live: LiveTwin, call: TwinCall) -> float:
    """How much the caller has heard of the answer in question; 0 before it begins."""
    begins = " ".join(word.text for word in speech.line(KILLED_IN).words[:2])
    said = (
        turn for log in live.sessions for turn in log.said if turn.text.lstrip().startswith(begins)
    )
    answer = next(said, None)
    if answer is None:
        return 0.0
    line = call.line
    since_ms = (answer.started_at - line.journal.start_s) * 1000
    now_ms = line.journal.now_s() * 1000
    return sum(
        max(0.0, min(end, now_ms) - max(start, since_ms))
        for start, end in line.party.heard.spans_ms()
    )


def _answered_at(call: TwinCall) -> float:
    """When the first stream of the call started: times of its record count from there."""
    journal = call.line.journal
    started = (event.at_s for event in journal.events if event.kind == "stream-started")
    return journal.start_s + next(started, journal.now_s())


class _Teller:
    """Tells the call, and at its place the kill, of which no record knows."""

    def __init__(
        self, console: Console, told: CallConsole, call: TwinCall, killing: asyncio.Task[Killed]
    ) -> None:
        self._console = console
        self._told = told
        self._call = call
        self._killing = killing
        self._follower = CallFollower(told)
        self._answered = False
        self._killed = False

    def update(self, record: CallRecord, *, final: bool = False) -> None:
        """Tell what is new."""
        if not self._answered:
            self._told.answered()
            self._answered = True
        # What was being said at the kill is known once the next worker has closed its turn.
        if not self._killed and self._killing.done() and (final or len(record.streams) > 1):
            self._killed = True
            killed = self._killing.result()
            at_s = killed.at - _answered_at(self._call)
            turns = [turn for turn in record.turns if turn.started_s < at_s]
            before = replace(record, turns=turns, streams=record.streams[:1], moves=[])
            self._follower.update(before, final=True)
            line = Text(f"{at(at_s):>8} ", "dim")
            line.append(f"{'kill':11}worker {killed.worker} was killed (SIGKILL)", "bold red")
            self._console.print(line, highlight=False)
        self._follower.update(record, final=final)


async def _follow(
    teller: _Teller, store: CallStore, call: TwinCall
) -> tuple[CallRecord, CallResult]:
    """Tell the call while it goes on, by what its workers have journalled; returns what is left.

    Raises:
        RuntimeError: it left no record.
    """
    over = asyncio.create_task(call.wait(_CALL_S))
    try:
        while not over.done():
            with suppress(StoreUnavailable):
                found = await store.recall(call.sid)
                if found is not None and found.record is not None:
                    now_s = time.monotonic() - _answered_at(call)
                    teller.update(replace(found.record, ended_s=now_s))
            await asyncio.sleep(POLL_S)
        result = await over
    finally:
        over.cancel()
    record = await _last_record(store, call)
    teller.update(record, final=True)
    return record, result


async def _last_record(store: CallStore, call: TwinCall) -> CallRecord:
    ends_at = time.monotonic() + _RECORD_S
    while time.monotonic() < ends_at:
        with suppress(StoreUnavailable):
            stored = await store.load_call(call.sid)
            if stored is not None and stored.row.state == "finished":
                record = stored.record
                if record is not None and record.streams and record.streams[-1].end_reason:
                    return record
        await asyncio.sleep(POLL_S)
    raise RuntimeError("it left no record")
