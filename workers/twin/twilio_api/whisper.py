"""``<Number url>``: what somebody who has answered hears before they are connected to the caller.

The document runs on the dialled leg alone. At its end the two are connected; a ``<Hangup>`` in it
declines the call, and ``<Dial>`` is not allowed (twilio.com/docs/voice/twiml/number).
"""

from __future__ import annotations

from workers.twin.twilio_api import twiml
from workers.twin.twilio_api.fetching import fetch
from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.program import (
    Fetch,
    FetchFailed,
    Finish,
    Outcome,
    Program,
    Run,
    Step,
    VerbEnded,
)
from workers.twin.twilio_api.prompts import gather, prompt

_END_OF_DOCUMENT = Finish()


async def whisper(line: Line, number: twiml.Number) -> bool:
    """Run the document of ``number`` on its leg; say whether the two are to be connected."""
    program = Program()
    step: Step = Fetch(number.url, number.method)
    while not isinstance(step, Finish):
        outcome = await fetch(line, step) if isinstance(step, Fetch) else await _run(line, step)
        if isinstance(outcome, FetchFailed):
            # Assumed: Twilio's pages do not say what becomes of a call whose document cannot be
            # had. Declining would be the other guess; then a worker that is down loses transfers.
            line.journal.note("whisper.failed", code=outcome.code, url=outcome.url)
            return True
        step = program.next(outcome)
    return step == _END_OF_DOCUMENT


async def _run(line: Line, step: Run) -> Outcome:
    match step.verb:
        case twiml.Gather() as verb:
            return await gather(line, verb)
        case twiml.Say() | twiml.Play() | twiml.Pause() as verb:
            await prompt(line, verb)
        case verb:
            name = verb.name if isinstance(verb, twiml.NotSimulated) else type(verb).__name__
            line.journal.warn(12200, f"{name} is not allowed before the two are connected")
    return VerbEnded()
