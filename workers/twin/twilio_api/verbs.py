"""Runs one verb on a line; every wait in here ends when the call's task is cancelled."""

from __future__ import annotations

from workers.twin.twilio_api import twiml
from workers.twin.twilio_api.connect import connect
from workers.twin.twilio_api.dial import dial
from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.program import Outcome, VerbEnded
from workers.twin.twilio_api.prompts import gather, prompt


async def perform(line: Line, verb: twiml.Verb) -> Outcome:
    """Run ``verb`` to its end."""
    match verb:
        case twiml.Connect():
            return await connect(line, verb)
        case twiml.Dial():
            return await dial(line, verb)
        case twiml.Gather():
            return await gather(line, verb)
        case twiml.Say() | twiml.Play() | twiml.Pause():
            await prompt(line, verb)
        case _:
            line.journal.note("twiml.unsupported", verb=repr(verb))
    return VerbEnded()
