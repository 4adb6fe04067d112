"""``evercall demo``: one whole phone call on this machine, against the twin.

With ``--resets`` its Live connection is taken away three times: at a quiet moment, in the middle of
a sentence, and without a word.

The worker is the real one with the real SDKs; only the two services are simulated. What the call
leaves behind is put into one folder: the recording, the transcript, the record and the page.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import uvloop
from rich.console import Console

from agent.conversation.record import CallRecord, EndReason
from agent.spec import load_agent
from workers.dashboard.call_page.page import render_page
from workers.dashboard.console import CallConsole
from workers.dashboard.follow import CallFollower
from workers.dashboard.transcript_text import transcript_text
from workers.entrypoints.free_port import free_port
from workers.entrypoints.worker import Worker, run_worker
from workers.logs import start_logs
from workers.settings import load_settings
from workers.twin.caller import load_script as load_caller
from workers.twin.live_api.faults import NO_CLOSE_FRAME, Close, Fault, GoAway
from workers.twin.live_api.script import load_script as load_model
from workers.twin.live_api.server import LiveTwin
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.server import TwilioTwin

DATA = Path(__file__).parent.parent / "twin" / "data"
# The call takes about 35 s.
TIMEOUT_S = 90.0
POLL_S = 0.2
API_KEY = "demo-key"


# In the first connection the server announces its end in good time; in the second it leaves one
# second, in the middle of an answer; the third is a TCP reset in the middle of an answer.
RESETS: tuple[Fault, ...] = (
    GoAway(sessions=frozenset({1}), turn=1, time_left_s=50),
    GoAway(sessions=frozenset({2}), answer=1, audio_ms=3_000, time_left_s=1),
    Close(sessions=frozenset({3}), answer=3, audio_ms=2_000, code=NO_CLOSE_FRAME),
)
# What Live connections are taken to cost: the real ones have not been measured.
SETUP_S, RESUME_S = 0.5, 0.3


def run_demo(out: Path, *, resets: bool = False) -> int:
    """Make the call and leave its files in ``out``; the exit code is 0 when it went well."""
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    with (out / "demo.log").open("w", encoding="utf-8") as log:
        logs = start_logs("INFO", stream=log, console=False)
        try:
            record = uvloop.run(_call(console, out, resets=resets))
        finally:
            logs.close()
    moves = len(RESETS) if resets else 0
    well = record is not None and record.end_reason is EndReason.AGENT_HUNG_UP
    if record is None or not well or len(record.moves) != moves:
        console.print(f"The call did not go as planned; see {out / 'demo.log'}.", highlight=False)
        return 1
    return 0


async def _call(console: Console, out: Path, *, resets: bool) -> CallRecord | None:
    told = CallConsole(console)
    data_dir = out / "data"
    await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
    spec = load_agent(DATA / "demo-agent.yaml")
    spec = replace(spec, recording=replace(spec.recording, enabled=True))
    port = free_port()
    script, person = ("resets-live", "resets-caller") if resets else ("demo-live", "demo-caller")
    async with (
        LiveTwin(
            load_model(DATA / f"{script}.yaml"),
            api_key=API_KEY,
            faults=RESETS if resets else (),
            setup_delay_s=SETUP_S if resets else 0.05,
            resume_delay_s=RESUME_S if resets else None,
        ) as live,
        TwilioTwin() as twilio,
    ):
        settings = load_settings(
            env_file=None,
            google_api_key=API_KEY,
            google_base_url=live.base_url,
            google_use_vertexai=False,
            ssl_cert_file=live.ca_file,
            twilio_account_sid=twilio.account_sid,
            twilio_auth_token=twilio.auth_token,
            twilio_base_url=twilio.base_url,
            public_url=f"http://127.0.0.1:{port}",
            data_dir=data_dir,
            database_url=f"sqlite:///{data_dir / 'evercall.sqlite3'}",
        )
        async with run_worker(settings, spec, host="127.0.0.1", port=port) as worker:
            base = settings.public_url
            told.ring(f"{spec.name} on the twin at {base}")
            call = await twilio.place_inbound_call(
                f"{base}/voice",
                caller=load_caller(DATA / f"{person}.yaml"),
                status_url=f"{base}/voice/status",
            )
            record = await _follow(told, worker, call)
            if record is None:
                return None
            told.ended(record.end_reason, record.detail, at_s=record.ended_s)
            recording = worker.recorder.path(call.sid) if worker.recorder else None
    await asyncio.to_thread(_leave, told, out, record, recording)
    return record


async def _follow(told: CallConsole, worker: Worker, call: TwinCall) -> CallRecord | None:
    """Tell the call while it goes on; returns its record as stored."""
    follower = CallFollower(told)
    answered = False
    over = asyncio.create_task(call.wait(TIMEOUT_S))
    while not over.done() or call.sid in worker.runner.live:
        if over.done():
            over.result()
        live = worker.runner.live.get(call.sid)
        if live is not None:
            if not answered:
                told.answered()
                answered = True
            follower.update(live.record())
        await asyncio.sleep(POLL_S)
    over.result()
    stored = await worker.store.load_call(call.sid)
    if stored is None or stored.record is None:
        return None
    follower.update(stored.record, final=True)
    return stored.record


def _leave(told: CallConsole, out: Path, record: CallRecord, recording: Path | None) -> None:
    """Write the call's files."""
    wav = recording.read_bytes() if recording is not None and recording.exists() else None
    if wav is not None:
        (out / "call.wav").write_bytes(wav)
        told.saved("recording", out / "call.wav")
    (out / "transcript.txt").write_text(transcript_text(record), encoding="utf-8")
    told.saved("transcript", out / "transcript.txt")
    (out / "record.json").write_bytes(orjson.dumps(asdict(record), option=orjson.OPT_INDENT_2))
    told.saved("record", out / "record.json")
    page = render_page(record, wav=wav, wav_name="call.wav" if wav else "")
    (out / "call.html").write_text(page, encoding="utf-8")
    told.saved("page", out / "call.html")
