"""TwiML documents say what we mean, escaped."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from telephony.calls import twiml
from telephony.settings import TwilioSettings

SETTINGS = TwilioSettings("AC1", "token", "https://voice.example")


def tags(document: str) -> list[str]:
    return [child.tag for child in ET.fromstring(document)]


def test_stream_is_followed_by_a_redirect() -> None:
    """When the stream's socket closes, Twilio goes on to ask what is next."""
    root = ET.fromstring(twiml.connect_stream(SETTINGS, ticket="t-1", stream=3))
    connect, redirect = root
    (stream,) = connect
    assert stream.attrib["url"] == "wss://voice.example/media"
    assert stream.attrib["statusCallback"] == "https://voice.example/voice/stream-status"
    assert [dict(child.attrib) for child in stream] == [{"name": "ticket", "value": "t-1"}]
    assert connect.attrib == {}, "an action would take precedence over the redirect"
    assert redirect.attrib == {"method": "POST"}
    assert redirect.text == "https://voice.example/voice/continue?n=3"


def test_a_calls_first_stream_is_number_one() -> None:
    """Also where nobody says so."""
    for document in (
        twiml.connect_stream(SETTINGS, ticket="t"),
        twiml.play_digits(SETTINGS, digits="1"),
    ):
        assert ET.fromstring(document)[-1].text == "https://voice.example/voice/continue?n=1"


def test_call_is_continued_by_a_question_alone() -> None:
    """Nothing is said or dialled that the answer would not decide."""
    (redirect,) = ET.fromstring(twiml.continue_call(SETTINGS, stream=2))
    assert (redirect.tag, redirect.attrib) == ("Redirect", {"method": "POST"})
    assert redirect.text == "https://voice.example/voice/continue?n=2"


def test_digits_are_followed_by_the_same_question() -> None:
    """The stream that they interrupt is named."""
    play, redirect = ET.fromstring(twiml.play_digits(SETTINGS, digits="1w#", stream=2))
    assert play.attrib == {"digits": "1w#"}
    assert redirect.text == "https://voice.example/voice/continue?n=2"


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


def test_transfer_without_a_briefing_asks_for_none() -> None:
    """The two are connected at once."""
    (dial,) = ET.fromstring(twiml.dial(SETTINGS, to="+15550100009"))
    assert dial[0].attrib == {}
    assert "answerOnBridge" not in dial.attrib


def test_briefing_is_asked_for_by_the_calls_sid() -> None:
    """The new leg has another SID; and the caller hears ringing meanwhile."""
    (dial,) = ET.fromstring(twiml.dial(SETTINGS, to="+15550100009", briefed_call="CA1&x=2"))
    assert dial[0].text == "+15550100009"
    assert dial[0].attrib == {
        "url": "https://voice.example/voice/whisper?call=CA1%26x%3D2",
        "method": "POST",
    }
    assert dial.attrib["answerOnBridge"] == "true"


def test_briefing_is_said_with_language_and_voice() -> None:
    """And nothing after it: at the end of the document Twilio connects the two."""
    (say,) = ET.fromstring(twiml.whisper(twiml.Spoken("Anna wants <2> & more.", "en-GB", "Amy")))
    assert (say.tag, say.text) == ("Say", "Anna wants <2> & more.")
    assert say.attrib == {"language": "en-GB", "voice": "Amy"}


@pytest.mark.parametrize("briefing", [None, twiml.Spoken(""), twiml.Spoken(" \x00\ud800\n")])
def test_nothing_to_say_is_an_empty_document(briefing: twiml.Spoken | None) -> None:
    """Not an empty ``Say``: Twilio wants a text in it."""
    assert tags(twiml.whisper(briefing)) == []


def test_long_briefing_is_cut_between_words() -> None:
    """The caller waits for its end."""
    (say,) = ET.fromstring(twiml.whisper(twiml.Spoken("word " * 500)))
    assert say.text is not None
    assert len(say.text) <= twiml.MAX_WHISPER_CHARS
    assert say.text.endswith("word…")
    (say,) = ET.fromstring(twiml.whisper(twiml.Spoken("x" * 900)))
    assert len(say.text or "") == twiml.MAX_WHISPER_CHARS


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_text_that_xml_cannot_hold_is_left_out(bad: str) -> None:
    """Twilio would end the call with an apology of its own (error 12100)."""
    for document in (
        twiml.whisper(twiml.Spoken(f"An{bad}na")),
        twiml.say_and_hang_up(twiml.Spoken(f"An{bad}na")),
    ):
        assert ET.fromstring(document.encode())[0].text == "Anna"


def test_text_beyond_the_basic_plane_stays() -> None:
    """Names are written in many scripts."""
    name = "Zoë 李小龙 𠮷野 🙂"
    assert ET.fromstring(twiml.whisper(twiml.Spoken(name)).encode())[0].text == name


def test_documents_fit_into_a_rest_parameter() -> None:
    """``Twiml`` takes 4000 characters (error 32018), a long announcement included."""
    document = twiml.connect_stream(
        SETTINGS, ticket="t" * 480, announcement=twiml.Spoken("a" * 1000)
    )
    assert len(document) < 4000


def test_a_message_for_a_machine_is_followed_by_its_proof() -> None:
    """Twilio asks only once the message has been said, and names the attempt."""
    document = twiml.leave_message(SETTINGS, twiml.Spoken("Call us."), attempt_id=7)
    say, redirect = ET.fromstring(document)
    assert (say.tag, say.text) == ("Say", "Call us.")
    assert redirect.text == "https://voice.example/voice/message-left?attempt=7"
