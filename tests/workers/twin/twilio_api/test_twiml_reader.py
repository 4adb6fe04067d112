"""TwiML as the SDK writes it, and as nobody should."""

from __future__ import annotations

import pytest
from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from workers.twin.twilio_api import twiml as t
from workers.twin.twilio_api.twiml_reader import MAX_DOCUMENT_BYTES, TwimlRefused, parse

LONG = f"<Parameter name='a' value='{'x' * 499}'/>"


def test_document_of_the_sdk_is_read() -> None:
    """Connect, Stream, Parameter, Redirect and Dial as the SDK serialises them."""
    response = VoiceResponse()
    connect = Connect(action="/after")
    stream = connect.stream(url="wss://voice.example/media", status_callback="https://x.example/s")
    stream.parameter(name="ticket", value="a&b")
    response.append(connect)
    response.redirect("/continue", method="POST")
    dial = Dial(action="/r", timeout=20, caller_id="+15550100002", answer_on_bridge=True)
    dial.number("+15550107777")
    response.append(dial)
    document = parse(str(response).encode())
    assert document == t.Document(
        (
            t.Connect(
                t.Stream(
                    "wss://voice.example/media",
                    status_callback="https://x.example/s",
                    parameters={"ticket": "a&b"},
                ),
                action="/after",
            ),
            t.Redirect("/continue"),
            t.Dial(
                (t.Number("+15550107777"),),
                action="/r",
                timeout_s=20,
                caller_id="+15550100002",
                answer_on_bridge=True,
            ),
        )
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", 12100),
        (b"hello", 12100),
        (b" <?xml version='1.0'?><Response/>", 12100),
        (b"<response/>", 12100),
        (b"<Response>" + b" " * MAX_DOCUMENT_BYTES + b"</Response>", 11750),
    ],
)
def test_what_cannot_be_run_is_refused(text: bytes, code: int) -> None:
    """Bad XML, the wrong root, text before the declaration, and too much of it."""
    with pytest.raises(TwimlRefused) as caught:
        parse(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<say>lower case</say>", 12200),
        ("<Say colour='red'>x</Say>", 12200),
        ("<Pause length='long'/>", 12200),
        ("<Connect><Say>x</Say></Connect>", 12200),
        ("<Connect><Stream url='wss://x/' track='both_tracks'/></Connect>", 31941),
        (f"<Connect><Stream url='wss://x/'>{LONG}</Stream></Connect>", 12200),
    ],
)
def test_schema_slips_are_warned_of(inner: str, code: int) -> None:
    """The document runs, the debugger tells."""
    document = parse(f"<Response>{inner}</Response>".encode())
    assert [found for found, _ in document.warnings] == [code]


def test_verbs_that_are_not_simulated_say_so() -> None:
    """They are kept apart from those Twilio does not know."""
    assert parse(b"<Response><Enqueue>q</Enqueue></Response>").verbs == (t.NotSimulated("Enqueue"),)
