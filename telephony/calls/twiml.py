"""TwiML: what Twilio is told to do with a call.

Every document is one string, at most 4000 characters where it goes through REST (error 32018).
Source: twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote

from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from telephony.settings import TwilioSettings

CONTENT_TYPE = "text/xml"
VOICE_PATH = "/voice"
CONTINUE_PATH = "/voice/continue"
TRANSFER_RESULT_PATH = "/voice/transfer-result"
WHISPER_PATH = "/voice/whisper"
STATUS_PATH = "/voice/status"
STREAM_STATUS_PATH = "/voice/stream-status"
AMD_PATH = "/voice/amd"
MESSAGE_LEFT_PATH = "/voice/message-left"
TICKET_PARAMETER = "ticket"
STREAM_QUERY = "n"
"""In the address of ``CONTINUE_PATH``: the number of the call's stream that has ended."""
CALL_QUERY = "call"
"""In the address of ``WHISPER_PATH``: the SID of the call that the briefing is about."""
ATTEMPT_QUERY = "attempt"
"""In the addresses of a call that a campaign has placed: which attempt it is. Twilio signs it."""

# Some 40 s of speech, for which the caller waits.
MAX_WHISPER_CHARS = 600
# Some two minutes, as long as a voicemail records; with what is escaped it fits into a parameter.
MAX_MESSAGE_CHARS = 2_000
# What no XML document can hold, escaped or not (XML 1.0, production 2): error 12100, and the call
# ends with Twilio's own apology.
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Twilio's own default (twiml/dial); two thirds of the time a call is remembered without a stream.
RING_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence for Twilio's own voice. Language and voice are ``<Say>``'s; None is Twilio's."""

    text: str
    language: str | None = None
    voice: str | None = None


def attempt_url(settings: TwilioSettings, path: str, attempt_id: int | None) -> str:
    """The public address of one of our paths, which names a campaign's attempt if there is one."""
    query = "" if attempt_id is None else f"?{ATTEMPT_QUERY}={attempt_id}"
    return f"{settings.url(path)}{query}"


def connect_stream(
    settings: TwilioSettings,
    *,
    ticket: str,
    stream: int = 1,
    announcement: Spoken | None = None,
    attempt_id: int | None = None,
) -> str:
    """Open a media stream; when it ends, Twilio asks ``/voice/continue`` what is next.

    The ticket travels as a parameter because Twilio strips query strings (openclaw #14029).

    Args:
        settings: Ours.
        ticket: For this stream.
        stream: Its number in the call, counted from 1. It travels in the address of the next
            question, where it is Twilio's own word that this stream has ended.
        announcement: Said before the stream opens.
        attempt_id: Of the campaign that has placed the call; the next question names it.
    """
    response = VoiceResponse()
    if announcement is not None:
        _say(response, announcement)
    connect = Connect()
    noun = connect.stream(
        url=settings.media_url,
        status_callback=settings.url(STREAM_STATUS_PATH),
        status_callback_method="POST",
    )
    noun.parameter(name=TICKET_PARAMETER, value=ticket)
    response.append(connect)
    # Remaining verbs run once the socket is closed: error 31921, twiml/stream. No action on
    # Connect, which would take precedence over them.
    _ask_what_is_next(response, settings, stream, attempt_id)
    return str(response)


def continue_call(settings: TwilioSettings, *, stream: int) -> str:
    """Have Twilio ask ``/voice/continue`` what is next after this stream.

    Sent by REST it ends the stream, should it still be open: it is torn down before the new
    document runs (openclaw #40170).
    """
    response = VoiceResponse()
    _ask_what_is_next(response, settings, stream)
    return str(response)


def hang_up() -> str:
    """End the call."""
    response = VoiceResponse()
    response.hangup()
    return str(response)


def say_and_hang_up(spoken: Spoken) -> str:
    """Say a sentence, then end the call."""
    response = VoiceResponse()
    _say(response, spoken)
    response.hangup()
    return str(response)


def leave_message(settings: TwilioSettings, spoken: Spoken, *, attempt_id: int) -> str:
    """Say a message to a machine, then ask ``/voice/message-left``, the proof that it was said.

    Longer than ``MAX_MESSAGE_CHARS`` it is cut short.
    """
    response = VoiceResponse()
    _say(response, replace(spoken, text=_bounded(_speakable(spoken.text), MAX_MESSAGE_CHARS)))
    response.redirect(attempt_url(settings, MESSAGE_LEFT_PATH, attempt_id), method="POST")
    return str(response)


def dial(
    settings: TwilioSettings,
    *,
    to: str,
    caller_id: str | None = None,
    briefed_call: str | None = None,
) -> str:
    """Connect the caller to a number; ``/voice/transfer-result`` hears how that ended.

    Args:
        settings: Ours.
        to: The number.
        caller_id: Must be a number of ours or the caller's own (errors 13214, 13247); None leaves
            it to Twilio, which then shows the caller's.
        briefed_call: The call's SID, where whoever answers is to hear first what ``/voice/whisper``
            says about it. Twilio asks for that on the new leg, whose SID we do not know.
    """
    response = VoiceResponse()
    dial = _dial(
        to,
        url=None if briefed_call is None else _whisper_url(settings, briefed_call),
        caller_id=caller_id,
        action=settings.url(TRANSFER_RESULT_PATH),
        method="POST",
        # Else the caller hears nothing while somebody is being briefed (twiml/number, url).
        answer_on_bridge=None if briefed_call is None else True,
    )
    response.append(dial)
    return str(response)


def whisper(briefing: Spoken | None) -> str:
    """Say something to whoever has answered a ``<Dial>``, then connect them; None connects them.

    Longer than ``MAX_WHISPER_CHARS`` it is cut short.
    """
    response = VoiceResponse()
    text = "" if briefing is None else _bounded(_speakable(briefing.text), MAX_WHISPER_CHARS)
    if briefing is not None and text:
        _say(response, replace(briefing, text=text))
    return str(response)


def forward(*, to: str) -> str:
    """Connect the caller to a number, for good: no agent waits behind it."""
    response = VoiceResponse()
    response.append(_dial(to))
    response.hangup()
    return str(response)


def play_digits(settings: TwilioSettings, *, digits: str, stream: int = 1) -> str:
    """Send DTMF tones into the call, then ask what is next after this stream."""
    response = VoiceResponse()
    response.play(digits=digits)
    _ask_what_is_next(response, settings, stream)
    return str(response)


def _ask_what_is_next(
    response: VoiceResponse, settings: TwilioSettings, stream: int, attempt_id: int | None = None
) -> None:
    attempt = "" if attempt_id is None else f"&{ATTEMPT_QUERY}={attempt_id}"
    url = f"{settings.url(CONTINUE_PATH)}?{STREAM_QUERY}={stream}{attempt}"
    response.redirect(url, method="POST")


def _speakable(text: str) -> str:
    return _UNSPEAKABLE.sub("", text).strip()


def _say(response: VoiceResponse, spoken: Spoken) -> None:
    response.say(_speakable(spoken.text), language=spoken.language, voice=spoken.voice)


def _dial(to: str, *, url: str | None = None, **attributes: object) -> Dial:
    given = {name: value for name, value in attributes.items() if value is not None}
    dial = Dial(timeout=RING_TIMEOUT_S, **given)
    if url is None:
        dial.number(to)
    else:
        dial.number(to, url=url, method="POST")
    return dial


def _whisper_url(settings: TwilioSettings, call_sid: str) -> str:
    return f"{settings.url(WHISPER_PATH)}?{CALL_QUERY}={quote(call_sid, safe='')}"


def _bounded(text: str, limit: int) -> str:
    """At most ``limit`` characters, cut between words."""
    if len(text) <= limit:
        return text
    whole = text[: limit - 1]
    return f"{whole.rpartition(' ')[0] or whole}…"
