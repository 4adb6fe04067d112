"""The messages of a stream, against those of the reference."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.twin.twilio_api.media import messages

SID = "MZ" + "1" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"event":"media","streamSid":"%s","media":{"payload":"EBA="}}',
            messages.Media(b"\x10" * 2),
        ),
        ('{"event":"mark","streamSid":"%s","mark":{"name":"u7:3"}}', messages.Mark("u7:3")),
        ('{"event":"clear","streamSid":"%s"}', messages.Clear()),
    ],
)
def test_the_three_messages_of_a_server_are_read(text: str, expected: object) -> None:
    """What the reference shows is taken as it stands."""
    assert messages.read((text % SID).encode(), SID) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"event":"mark","streamSid":"%s","mark":{}}',
        '{"event":"mark","streamSid":"%s"}',
        '{"event":"media","streamSid":"%s","media":{"payload":"$$"}}',
        '{"event":"media","streamSid":"%s","media":{"payload":"EBA=","track":"x"}}',
        '{"event":"clear","streamSid":"%s","sequenceNumber":"1"}',
        '{"event":"dtmf","streamSid":"%s"}',
        '{"event":"clear"}',
    ],
)
def test_invalid_messages_are_31951_and_not_fatal(text: str) -> None:
    """Unknown events, extra or missing fields are warned of and ignored."""
    found = messages.read((text.replace("%s", SID)).encode(), SID)
    assert isinstance(found, messages.Invalid)
    assert (found.code, found.fatal) == (31951, False)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_warning(data: bytes) -> None:
    """Nothing a server sends raises."""
    assert isinstance(messages.read(data, SID), messages.FromServer)


def test_sent_messages_equal_the_reference() -> None:
    """Written by hand or by library, the JSON is the documented one."""
    media = messages.media(SID, sequence=2, chunk=1, timestamp_ms=73, payload="AA==")
    assert json.loads(media) == {
        "event": "media",
        "sequenceNumber": "2",
        "streamSid": SID,
        "media": {"track": "inbound", "chunk": "1", "timestamp": "73", "payload": "AA=="},
    }
    assert json.loads(messages.mark(SID, sequence=90, name='a"b')) == {
        "event": "mark",
        "sequenceNumber": "90",
        "streamSid": SID,
        "mark": {"name": 'a"b'},
    }
    stop = messages.stop(SID, sequence=901, account_sid="AC1", call_sid="CA1")
    assert json.loads(stop)["stop"] == {"accountSid": "AC1", "callSid": "CA1"}
