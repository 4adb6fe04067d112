"""Who takes a call over is told what it is about, and nothing that must not be written down."""

from __future__ import annotations

import pytest

from agent.context.briefing import briefing
from agent.conversation.record import CallRecord, FactRecord, SummaryRecord, TurnRecord
from agent.spec import AgentSpec, Context, Redaction
from workers.call import handover as module
from workers.call.handover import handover

SPEC = AgentSpec(name="bakery", system_instruction="You are a baker.")
WISH = "My name is Anna Schmidt and I would like two loaves of rye bread."


def caller(said: str, at_s: float = 1.0) -> TurnRecord:
    return TurnRecord("caller", said, said, at_s, at_s + 1)


def call(*turns: TurnRecord, **fields: object) -> CallRecord:
    made = CallRecord("CA1", "bakery", "m", turns=list(turns))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_caller_and_wish_are_told() -> None:
    """In the caller's words, where there is no summary yet."""
    text = handover(call(caller(WISH)), SPEC, last_resort=False)
    assert text is not None
    assert "Anna Schmidt" in text
    assert "rye bread" in text


def test_summary_and_facts_are_told() -> None:
    """What was said too long ago to be among the last turns."""
    record = call(
        *(caller("Yes.", float(at)) for at in range(300)),
        summary=SummaryRecord(caller="Anna Schmidt", wants="two loaves", turns=300),
        facts=[FactRecord("table", "seven")],
    )
    text = handover(record, SPEC, last_resort=False)
    assert text is not None
    for told in ("Anna Schmidt", "two loaves", "table: seven"):
        assert told in text


def test_turns_that_no_summary_covers_are_told() -> None:
    """The last one often says why a person is wanted."""
    turns = [caller("Yes.", float(at)) for at in range(20)]
    turns.append(caller("My order number is 4711 and it has not come.", 20))
    record = call(*turns, summary=SummaryRecord(caller="Anna Schmidt", turns=20))
    text = handover(record, SPEC, last_resort=False)
    assert text is not None
    assert "4711" in text


def test_agent_that_wants_none_has_none() -> None:
    """``context.briefing: false``."""
    spec = AgentSpec(name="b", system_instruction="x", context=Context(briefing=False))
    assert handover(call(caller(WISH)), spec, last_resort=True) is None


def test_nothing_known_is_nothing_to_say() -> None:
    """The two are connected sooner."""
    assert handover(call(), SPEC, last_resort=False) is None


def test_agent_that_failed_is_told_of() -> None:
    """The caller may be angry, and has waited; also where nothing else is known."""
    text = handover(call(), SPEC, last_resort=True)
    assert text is not None
    assert module.AGENT_FAILED in text


def test_card_number_is_not_read_out() -> None:
    """Twilio keeps what it is told to say; spread over two turns it is a card's all the same."""
    record = call(
        caller(f"{WISH} My card number is 4111 1111 1111 1111."),
        caller("Again: 4111 1111", 2.0),
        caller("1111 1111.", 3.0),
    )
    text = handover(record, SPEC, last_resort=False)
    assert text is not None
    assert "Anna Schmidt" in text
    assert "1111" not in text


def test_contacts_are_left_out_where_the_agents_file_says_so() -> None:
    """As they are from everything else that leaves the process."""
    said = f"{WISH} My e-mail address is anna@example.com."
    plain = handover(call(caller(said)), SPEC, last_resort=False)
    spec = AgentSpec(name="b", system_instruction="x", redaction=Redaction(emails=True))
    redacted = handover(call(caller(said)), spec, last_resort=False)
    assert plain is not None
    assert redacted is not None
    assert "anna@example.com" in plain
    assert "anna@" not in redacted


def test_bug_in_a_briefing_costs_no_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is waiting for a person, not for a paragraph."""

    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr(module, "briefing", broken)
    assert handover(call(caller(WISH)), SPEC, last_resort=False) is None


def test_long_call_without_a_summary_does_not_hold_up_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour's turns are not all read again: this runs on the loop that carries audio."""
    read: list[int] = []

    def counted(*args: object, **options: object) -> str:
        read.append(len(args[2]))  # type: ignore[arg-type]  # the turns
        return briefing(*args, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(module, "briefing", counted)
    assert handover(
        call(*(caller(f"{WISH} {at}", float(at)) for at in range(2_000))), SPEC, last_resort=False
    )
    assert read == [40]
