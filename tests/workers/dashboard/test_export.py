"""A call's record for other programs and other people."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.record import CallRecord, FactRecord, ToolRecord
from tests.fakes.long_call import long_record
from tests.fakes.sample_call import sample_record
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from workers.dashboard.export import SCHEMA, record_json, record_text
from workers.dashboard.transcript_text import transcript_text


def test_json_begins_with_its_schema_and_keeps_the_order_of_fields() -> None:
    """Nothing of the record is missing, and a reader knows at once what it reads."""
    told = json.loads(record_json(long_record()))
    assert list(told) == ["schema", *(field.name for field in fields(CallRecord))]
    assert told["schema"] == SCHEMA
    assert len(told["context"]["cuts"]) == 12
    assert told["moves"][3]["cause"] == "context"
    assert told["summary"]["promises"][0].startswith("Assessor")
    assert told["facts"][0] == {"key": "name", "value": "Ann Taylor", "at_s": 21.0}


def test_same_record_gives_the_same_bytes_whatever_stored_it() -> None:
    """A store may hand keys of a result back in another order."""
    record = sample_record()
    other = sample_record()
    response = other.tools[0].response
    assert response is not None
    other.tools[0].response = dict(reversed(response.items()))
    other.counters = dict(reversed(other.counters.items()))
    assert record_json(other) == record_json(record)
    assert record_json(replace(other, agent="x")) != record_json(record)


def test_json_is_indented_utf_8() -> None:
    """People read it, too."""
    text = record_json(CallRecord("CA0", "Bäckerei", "m")).decode()
    assert text.startswith('{\n  "schema": 1,\n  "call_sid": "CA0",\n  "agent": "Bäckerei",\n')
    assert text.endswith("}\n")


def test_what_json_cannot_say_is_replaced() -> None:
    """A lone surrogate, infinity and objects of other types do not stop an export."""
    args = {"a\ud800": math.inf, "set": {1}, "deep": [{"n": math.nan}], "big": 2**80}
    record = CallRecord("CA0", "a", "m", tools=[ToolRecord("1", "t", args, 0, 1, "ok")])
    told = json.loads(record_json(record))["tools"][0]["args"]
    assert told == {"a\ufffd": None, "set": "{1}", "deep": [{"n": None}], "big": 2**80}


def test_streams_are_exported_with_their_worker_and_end() -> None:
    """In JSON as they are kept, in the text in words; what is not known is null."""
    streams = json.loads(record_json(shared_record()))["streams"]
    assert [stream["worker"] for stream in streams] == [FIRST, SECOND, FIRST]
    assert [stream["end_reason"] for stream in streams] == [None, "handed_over", "caller_hung_up"]
    text = record_text(shared_record())
    assert f"stream 2 at {SECOND}" in text
    assert "Takeovers                 2\n" in text


@given(st.text(), st.dictionaries(st.text(), st.text() | st.floats() | st.none() | st.booleans()))
def test_any_text_can_be_exported(text: str, values: dict[str, object]) -> None:
    """Whatever was said or returned, the JSON is valid and the text is text."""
    tools = [ToolRecord(text, text, values, 0, 1, "ok", values)]
    record = CallRecord("CA0", text, "m", tools=tools, facts=[FactRecord(text, text)])
    json.loads(record_json(record).decode(), parse_constant=_refuse)
    record_text(record).encode()


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_text_is_numbers_then_transcript() -> None:
    """The numbers of the page come first, each on a line; the transcript is whole."""
    record = long_record()
    head, _, rest = record_text(record).partition("\n\nCall ")
    assert f"Call {rest}" == transcript_text(record)
    lines = [line.split("  ", 1) for line in head.splitlines()[2:]]
    numbers = {label: value.strip() for label, value in lines}
    assert numbers["Context cuts"] == "12"
    assert numbers["Context, most"] == "20,885  (64% of window; 12 cuts)"
    assert numbers["Longest gap"] == "640 ms  (in 9 moves)"
