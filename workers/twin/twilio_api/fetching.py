"""Gets a call's next document from the worker, or says with Twilio's code why there is none."""

from __future__ import annotations

from workers.twin.twilio_api import twiml_reader
from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.program import DocumentFetched, Fetch, FetchFailed, Outcome


async def fetch(line: Line, step: Fetch) -> Outcome:
    """Send the voice request and read its answer."""
    params = line.params() | dict(step.params)
    answer = await line.post("voice", step.url, params, method=step.method)
    if answer.code:
        line.journal.warn(answer.code, f"{step.url}: {answer.detail}")
        return FetchFailed(answer.code, step.url)
    if answer.content_type not in ("text/xml", "application/xml"):
        line.journal.warn(12300, answer.content_type or "no Content-Type")
        return FetchFailed(12300, step.url)
    try:
        document = twiml_reader.parse(answer.body)
    except twiml_reader.TwimlRefused as error:
        line.journal.warn(error.code, error.detail)
        return FetchFailed(error.code, step.url)
    for code, detail in document.warnings:
        line.journal.warn(code, detail)
    line.journal.note("twiml", verbs=[type(verb).__name__ for verb in document.verbs])
    return DocumentFetched(document, answer.url)
