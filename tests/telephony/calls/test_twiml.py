"""TwiML documents say what we mean, escaped."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from telephony.calls import twiml
from telephony.settings import TwilioSettings

SETTINGS = TwilioSettings("AC1", "token", "https://voice.example")


def tags(document: str) -> list[str]:
    return [child.tag for child in ET.fromstring(document)]


def test_stream_is_followed_by_a_redirect() -> None:
    """When the stream's socket closes, Twilio goes on to ask what is next."""
    root = ET.fromstring(twiml.connect_stream(SETTINGS, ticket="t-1", reconnects=1))
    connect, redirect = root
    (stream,) = connect
    assert stream.attrib["url"] == "wss://voice.example/media"
    assert stream.attrib["statusCallback"] == "https://voice.example/voice/stream-status"
    assert [dict(child.attrib) for child in stream] == [{"name": "ticket", "value": "t-1"}]
    assert connect.attrib == {}, "an action would take precedence over the redirect"
    assert redirect.attrib == {"method": "POST"}
    assert redirect.text == "https://voice.example/voice/continue?n=1"


def test_announcement_comes_before_the_stream() -> None:
    """What must be said before anything is recorded is said before the stream opens."""
    document = twiml.connect_stream(
        SETTINGS, ticket="t", announcement=twiml.Spoken("This call is recorded.", "en-US")
    )
    assert tags(document) == ["Say", "Connect", "Redirect"]


def test_text_is_escaped() -> None:
    """A sentence of an agent's file cannot become an element."""
    document = twiml.say_and_hang_up(twiml.Spoken("<Dial>1</Dial> & co"))
    assert tags(document) == ["Say", "Hangup"]
    assert ET.fromstring(document)[0].text == "<Dial>1</Dial> & co"


def test_transfer_reports_how_it_ended() -> None:
    """Only with an action can the caller come back when nobody answers."""
    (dial,) = ET.fromstring(twiml.dial(SETTINGS, to="+15550100009", caller_id="+15550100002"))
    assert dial.attrib["action"] == "https://voice.example/voice/transfer-result"
    assert dial.attrib["callerId"] == "+15550100002"
    assert dial[0].text == "+15550100009"
    (plain,) = ET.fromstring(twiml.dial(SETTINGS, to="+15550100009"))
    assert "callerId" not in plain.attrib


def test_documents_fit_into_a_rest_parameter() -> None:
    """``Twiml`` takes 4000 characters (error 32018), a long announcement included."""
    document = twiml.connect_stream(
        SETTINGS, ticket="t" * 480, announcement=twiml.Spoken("a" * 1000)
    )
    assert len(document) < 4000
