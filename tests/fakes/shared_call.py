"""A call that three streams at two workers have served: a worker that died, then a deploy."""

from __future__ import annotations

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    EndReason,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
    StreamRecord,
    ToolRecord,
    TurnRecord,
    UsageRecord,
)
from tests.fakes.sample_call import agent_turn, caller_turn

FIRST = "ip-10-0-1-17:4711:9f3ac2d1"
SECOND = "ip-10-0-2-40:388:07b6e5fa"


def shared_record() -> CallRecord:
    """The first worker is killed while a tool runs; the second one hands back at a safe point."""
    return CallRecord(
        call_sid="CA" + "fedcba9876543210" * 2,
        agent="corner-bakery",
        model="gemini-3.8-live",
        started_at="2026-11-27T09:12:40.250+00:00",
        ended_s=61.4,
        end_reason=EndReason.CALLER_HUNG_UP,
        streams=[
            StreamRecord("MZ" + "1" * 32, 0.0, worker=FIRST),
            StreamRecord(
                "MZ" + "2" * 32,
                19.6,
                41.3,
                EndReason.HANDED_OVER,
                "SIGTERM: at a safe point after 2.1 s",
                SECOND,
            ),
            StreamRecord("MZ" + "3" * 32, 42.5, 61.4, EndReason.CALLER_HUNG_UP, worker=FIRST),
        ],
        turns=shared_turns(),
        tools=[
            ToolRecord(
                "f1", "order_status", {"order_number": "7"}, 9.6, 9.7, "ok", {"is": "ready"}
            ),
            ToolRecord("f2", "book_table", {"day": "Saturday", "people": 4}, 17.2, 17.2, "unknown"),
        ],
        barge_ins=[BargeInRecord(49.2, 2600.0)],
        moves=[
            MoveRecord(
                MoveCause.TAKEOVER,
                MoveMoment.ABRUPT,
                MoveKind.RESUME,
                wanted_s=19.6,
                left_s=19.6,
                done_s=20.3,
                gap_ms=1250.0,
                held_ms=640.0,
                model="gemini-3.8-live",
                detail="one function whose outcome is not known was told to the model",
            ),
            MoveRecord(
                MoveCause.TAKEOVER,
                MoveMoment.SAFE_POINT,
                MoveKind.RESUME,
                wanted_s=39.2,
                left_s=42.5,
                done_s=42.8,
                held_ms=300.0,
                model="gemini-3.8-live",
            ),
        ],
        usage=UsageRecord(context_tokens=2210, response_tokens=1104, total_tokens=6120),
    )


def shared_turns() -> list[TurnRecord]:
    return [
        agent_turn("Hello, this is Corner Bakery. How can I help you today?", 0.3, 3.9),
        caller_turn("Is my order number seven ready? And I would like a table.", 5.0, 9.1),
        agent_turn("It is ready. For when is the table?", 10.0, 12.6, 0.9),
        caller_turn("Saturday, for four.", 13.9, 16.3),
        agent_turn("I could not see whether that worked. Shall I look again?", 21.0, 25.4, 4.7),
        caller_turn("Yes, please.", 26.6, 27.9),
        agent_turn("You have a table for four on Saturday at ten.", 29.0, 33.2, 1.1),
        caller_turn("Lovely. What cakes do you have?", 43.6, 45.9),
        agent_turn("Today there is a plum cake, a", 46.8, 49.2, 0.9, "Today there is a plum"),
        caller_turn("Plum, please. Goodbye!", 49.0, 51.6),
        agent_turn("I will keep one for you. Goodbye!", 52.6, 55.4, 1.0),
    ]
