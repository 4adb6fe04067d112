"""Speaks to one party, and hears the keys that they press meanwhile."""

from __future__ import annotations

import asyncio
import contextlib

from workers.twin import dtmf, phone_audio
from workers.twin.twilio_api import twiml
from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.program import GatherEnded

# ``loop="0"`` means for ever; this outlasts any test, and the call's time limit bounds it anyhow.
MAX_LOOPS = 100


async def prompt(line: Line, verb: twiml.Say | twiml.Play | twiml.Pause) -> None:
    """Let the party hear what the verb says, to its end."""
    match verb:
        case twiml.Say(text, loop):
            line.journal.note("say", text=text)
            ulaw = phone_audio.said(text).ulaw() if text else b""
            for _ in range(loop or MAX_LOOPS):
                await line.play(ulaw)
        case twiml.Play(_, digits) if digits:
            await line.play(dtmf.keys(digits))
        case twiml.Play(url):
            line.journal.note("twiml.unsupported", verb=f"Play {url}")
        case twiml.Pause(length_s):
            await line.desk.sleep(length_s)


async def gather(line: Line, verb: twiml.Gather) -> GatherEnded:
    """Speak the verb's prompts and collect the keys that are pressed."""
    # Bounded by what a person presses while one Gather lasts.
    keys: asyncio.Queue[str] = asyncio.Queue(maxsize=100)

    def pressed(digit: str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            keys.put_nowait(digit)

    line.on_key = pressed
    try:
        first = await _first_key(line, verb, keys)
        digits = ""
        while first is not None:
            if first == verb.finish_on_key:
                return GatherEnded(digits, first)
            digits += first
            if verb.num_digits and len(digits) >= verb.num_digits:
                break
            first = await _next_key(keys, verb.timeout_s)
        return GatherEnded(digits)
    finally:
        line.on_key = None


async def _first_key(line: Line, verb: twiml.Gather, keys: asyncio.Queue[str]) -> str | None:
    """Speak the prompts until they end or a key is pressed; then the time-out begins."""

    async def speak() -> None:
        for spoken in verb.prompts:
            await prompt(line, spoken)

    speaking = asyncio.ensure_future(speak())
    key = asyncio.ensure_future(keys.get())
    try:
        await asyncio.wait({speaking, key}, return_when=asyncio.FIRST_COMPLETED)
        if not key.done():
            await asyncio.wait({key}, timeout=verb.timeout_s)
        return key.result() if key.done() else None
    finally:
        for task in (speaking, key):
            task.cancel()
        await asyncio.gather(speaking, key, return_exceptions=True)


async def _next_key(keys: asyncio.Queue[str], timeout_s: float) -> str | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await keys.get()
    except TimeoutError:
        return None
