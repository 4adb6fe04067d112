"""TwiML: what Twilio is told to do with a call.

Every document is one string, at most 4000 characters where it goes through REST (error 32018).
Source: twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

from dataclasses import dataclass

from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from telephony.settings import TwilioSettings

CONTENT_TYPE = "text/xml"
VOICE_PATH = "/voice"
CONTINUE_PATH = "/voice/continue"
TRANSFER_RESULT_PATH = "/voice/transfer-result"
STATUS_PATH = "/voice/status"
STREAM_STATUS_PATH = "/voice/stream-status"
AMD_PATH = "/voice/amd"
TICKET_PARAMETER = "ticket"

# Twilio's own default (twiml/dial); two thirds of the time a call is remembered without a stream.
RING_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence for Twilio's own voice. Language and voice are ``<Say>``'s; None is Twilio's."""

    text: str
    language: str | None = None
    voice: str | None = None


def connect_stream(
    settings: TwilioSettings,
    *,
    ticket: str,
    reconnects: int = 0,
    announcement: Spoken | None = None,
) -> str:
    """Open a media stream; when it ends, Twilio asks ``/voice/continue`` what is next.

    The ticket travels as a parameter because Twilio strips query strings (openclaw #14029). The
    count of reconnects travels in the address, so that it outlives this worker's memory.
    """
    response = VoiceResponse()
    if announcement is not None:
        _say(response, announcement)
    connect = Connect()
    stream = connect.stream(
        url=settings.media_url,
        status_callback=settings.url(STREAM_STATUS_PATH),
        status_callback_method="POST",
    )
    stream.parameter(name=TICKET_PARAMETER, value=ticket)
    response.append(connect)
    # Remaining verbs run once the socket is closed: error 31921, twiml/stream. No action on
    # Connect, which would take precedence over them.
    response.redirect(f"{settings.url(CONTINUE_PATH)}?n={reconnects}", method="POST")
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


def dial(settings: TwilioSettings, *, to: str, caller_id: str | None = None) -> str:
    """Connect the caller to a number; ``/voice/transfer-result`` hears how that ended.

    ``caller_id`` must be a number of ours or the caller's own (errors 13214, 13247); None leaves
    it to Twilio, which then shows the caller's.
    """
    response = VoiceResponse()
    response.append(
        _dial(to, caller_id=caller_id, action=settings.url(TRANSFER_RESULT_PATH), method="POST")
    )
    return str(response)


def forward(*, to: str) -> str:
    """Connect the caller to a number, for good: no agent waits behind it."""
    response = VoiceResponse()
    response.append(_dial(to))
    response.hangup()
    return str(response)


def play_digits(settings: TwilioSettings, *, digits: str, reconnects: int = 0) -> str:
    """Send DTMF tones into the call, then go on with a new stream."""
    response = VoiceResponse()
    response.play(digits=digits)
    response.redirect(f"{settings.url(CONTINUE_PATH)}?n={reconnects}", method="POST")
    return str(response)


def _say(response: VoiceResponse, spoken: Spoken) -> None:
    response.say(spoken.text, language=spoken.language, voice=spoken.voice)


def _dial(to: str, **attributes: object) -> Dial:
    given = {name: value for name, value in attributes.items() if value is not None}
    dial = Dial(timeout=RING_TIMEOUT_S, **given)
    dial.number(to)
    return dial
