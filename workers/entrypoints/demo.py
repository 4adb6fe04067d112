"""``evercall demo``: one whole phone call on this machine, against the twin.

With ``--resets`` its Live connection is taken away three times: at a quiet moment, in the middle of
a sentence, and without a word. With ``--long`` it is an hour's talk in a minute and a half: what
was told at its beginning is cut from the model's context long before it is asked for.

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

from agent.conversation.record import CallRecord
from agent.spec import load_agent
from workers.dashboard.call_page.page import render_page
from workers.dashboard.console import CallConsole
from workers.dashboard.follow import CallFollower
from workers.dashboard.transcript_text import transcript_text
from workers.entrypoints.demo_calls import DATA, LONG, PLAIN, RESETS, DemoCall
from workers.entrypoints.listener import listen
from workers.entrypoints.worker import Worker, run_worker
from workers.logs import start_logs
from workers.settings import load_settings
from workers.twin.caller import load_script as load_caller
from workers.twin.live_api.script import load_script as load_model
from workers.twin.live_api.server import LiveTwin
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.server import TwilioTwin

POLL_S = 0.2
API_KEY = "demo-key"


def run_demo(out: Path, *, resets: bool = False, long: bool = False) -> int:
    """Make the call and leave its files in ``out``; the exit code is 0 when it went well."""
    console = Console()
    demo = LONG if long else RESETS if resets else PLAIN
    out.mkdir(parents=True, exist_ok=True)
    with (out / "demo.log").open("w", encoding="utf-8") as log:
        logs = start_logs("INFO", stream=log, console=False)
        try:
            wrong = uvloop.run(_call(console, out, demo))
        finally:
            logs.close()
    if wrong:
        reasons = "; ".join(wrong)
        console.print(
            f"The call did not go as planned: {reasons}. See {out / 'demo.log'}.", highlight=False
        )
    return 1 if wrong else 0


async def _call(console: Console, out: Path, demo: DemoCall) -> list[str]:
    """Make the call; returns what did not go as planned."""
    told = CallConsole(console)
    data_dir = out / "data"
    await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
    spec = load_agent(DATA / f"{demo.agent}.yaml")
    spec = replace(spec, recording=replace(spec.recording, enabled=True))
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with (
        LiveTwin(
            load_model(DATA / f"{demo.live}.yaml"),
            api_key=API_KEY,
            faults=demo.faults,
            setup_delay_s=demo.setup_s,
            resume_delay_s=demo.resume_s,
            caller_tokens_per_s=demo.rates.caller_per_s,
            model_tokens_per_s=demo.rates.model_per_s,
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
        async with run_worker(
            settings, spec, host="127.0.0.1", port=port, listener=listener
        ) as worker:
            base = settings.public_url
            told.ring(f"{spec.name} on the twin at {base}")
            call = await twilio.place_inbound_call(
                f"{base}/voice",
                caller=load_caller(DATA / f"{demo.caller}.yaml"),
                status_url=f"{base}/voice/status",
            )
            record = await _follow(told, worker, call, demo.timeout_s)
            if record is None:
                return ["it left no record"]
            told.ended(record.end_reason, record.detail, at_s=record.ended_s)
            recording = worker.recorder.path(call.sid) if worker.recorder else None
    await asyncio.to_thread(leave_files, told, out, record, recording)
    if demo.epilogue is not None:
        console.print(demo.epilogue(record, live.sessions), highlight=False)
    return demo.judge(record, live.sessions)


async def _follow(
    told: CallConsole, worker: Worker, call: TwinCall, timeout_s: float
) -> CallRecord | None:
    """Tell the call while it goes on; returns its record as stored."""
    follower = CallFollower(told)
    answered = False
    over = asyncio.create_task(call.wait(timeout_s))
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
    # Until then the store has what was journalled while the call went on.
    await worker.store.flush()
    stored = await worker.store.load_call(call.sid)
    if stored is None or stored.record is None:
        return None
    follower.update(stored.record, final=True)
    return stored.record


def leave_files(told: CallConsole, out: Path, record: CallRecord, recording: Path | None) -> None:
    """Write the call's files into ``out``, and tell where each is."""
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
