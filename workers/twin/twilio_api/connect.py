"""``<Connect><Stream>``: the media stream of a call, for as long as it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC
from ipaddress import ip_address
from urllib.parse import urlsplit

from workers.twin.twilio_api import twiml
from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.media.socket import HandshakeFailed
from workers.twin.twilio_api.media.stream import MediaStream, StreamFaults, StreamRequest
from workers.twin.twilio_api.media.timeline import Timeline
from workers.twin.twilio_api.program import VerbEnded
from workers.twin.twilio_api.resources import new_sid

# How long a stream that should have been refused is kept before it counts as accepted.
SECOND_STREAM_S = 10.0


async def connect(line: Line, verb: twiml.Connect) -> VerbEnded:
    """Run the stream until the server closes it, it fails, or the call goes elsewhere."""
    if verb.stream is None:
        line.journal.note("twiml.unsupported", element="Connect without Stream")
        return VerbEnded()
    faults = StreamFaults()
    if line.streams_opened < len(line.faults.streams):
        faults = line.faults.streams[line.streams_opened]
    line.streams_opened += 1
    refusal = _refusal(verb.stream)
    if refusal:
        line.journal.warn(*refusal)
        _tell(line, verb.stream, new_sid("MZ"), "stream-error", refusal[1])
        return VerbEnded()
    await _run(line, verb.stream, faults)
    await asyncio.sleep(line.faults.timing.next_verb_s)
    return VerbEnded()


async def _run(line: Line, verb: twiml.Stream, faults: StreamFaults) -> None:
    sid = new_sid("MZ")
    stream = _make(line, verb.url, sid, verb.parameters, faults, line.party.heard)
    # Quirk 10 of the reference: the callback is the only word of it that a server gets in time.
    stream.on_lost = lambda: _tell(line, verb, sid, "stream-error", "31924 protocol error")
    line.journal.note("stream.connecting", url=verb.url, stream_sid=sid)
    started = False
    try:
        await stream.open(tls=line.desk.tls)
        started = True
        line.stream = stream
        line.stream_request = (verb.url, verb.parameters)
        line.party.sink = stream.frame
        line.party.performer.streaming = True
        line.on_key = stream.digit
        _tell(line, verb, sid, "stream-started")
        await stream.wait_closed()
    except HandshakeFailed as error:
        line.journal.warn(error.code, error.detail)
        _tell(line, verb, sid, "stream-error", f"{error.code} {error.detail}")
    finally:
        line.party.sink = line.on_key = line.stream = None
        line.party.performer.streaming = False
        await _end(line, stream)
        if started:
            _tell(line, verb, sid, "stream-stopped")


async def second_stream(line: Line, parameters: Mapping[str, str | None]) -> None:
    """Open one more stream for the call, as was seen in the field, and note how it ended."""
    if line.stream_request is None:
        return
    url, first = line.stream_request
    sid = new_sid("MZ")
    faults = StreamFaults(parameters=parameters)
    stream = _make(line, url, sid, first, faults, Timeline(line.desk.clock()), second=True)
    try:
        await stream.open(tls=line.desk.tls)
        async with asyncio.timeout(SECOND_STREAM_S):
            closed = await stream.wait_closed()
        line.journal.note("second_stream.closed", code=closed.code, reason=closed.reason)
    except HandshakeFailed as error:
        line.journal.note("second_stream.closed", code=error.code, reason=error.detail)
    except TimeoutError:
        line.journal.note("second_stream.accepted")
    finally:
        await _end(line, stream)


async def _end(line: Line, stream: MediaStream) -> None:
    try:
        await stream.hang_up()
    finally:
        line.desk.streams.discard(stream)
        if stream.is_half_open:
            line.desk.half_open.add(stream)


def _make(
    line: Line,
    url: str,
    sid: str,
    parameters: Mapping[str, str],
    faults: StreamFaults,
    ear: Timeline,
    *,
    second: bool = False,
) -> MediaStream:
    parts = urlsplit(url)
    if parts.query:
        line.journal.note("stream.query_stripped", url=url)
    request = StreamRequest(
        # The query string is stripped before dialling (twilio.com/docs/api/errors/31920).
        url=parts._replace(query="", fragment="").geturl(),
        stream_sid=sid,
        account_sid=line.facts.account_sid,
        call_sid=line.facts.sid,
        auth_token=line.desk.auth_token,
        parameters=parameters,
        faults=faults,
        timing=line.faults.timing,
        second=second,
    )
    stream = MediaStream(request, ear, line.journal, clock=line.desk.clock, tap=line.tap)
    line.desk.streams.add(stream)
    line.streams.append(stream)
    return stream


def _refusal(stream: twiml.Stream) -> tuple[int, str] | None:
    if stream.track != "inbound_track":
        return 31941, f"track {stream.track}"
    parts = urlsplit(stream.url)
    if not parts.scheme or not parts.hostname:
        return 31923, stream.url
    # Twilio takes wss alone; the twin takes ws where a certificate makes no sense.
    if parts.scheme != "wss" and not (parts.scheme == "ws" and _is_local(parts.hostname)):
        return 31922, f"scheme {parts.scheme}"
    return None


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tell(line: Line, verb: twiml.Stream, sid: str, event: str, error: str = "") -> None:
    line.journal.note(event, stream_sid=sid, error=error)
    if not verb.status_callback:
        return
    at = line.desk.wall().astimezone(UTC)
    params = {
        "AccountSid": line.facts.account_sid,
        "CallSid": line.facts.sid,
        "StreamSid": sid,
        "StreamName": verb.name or sid,
        "StreamEvent": event,
        "Timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if error:
        params["StreamError"] = error
    line.post_later(event, verb.status_callback, params, method=verb.status_callback_method)
