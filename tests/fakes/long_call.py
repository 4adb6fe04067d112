"""An hour-long call as it is recorded: 300 turns, nine moves, twelve cuts, forty summaries."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    ContextRecord,
    ContextSample,
    CutRecord,
    DigitRecord,
    EndReason,
    FactRecord,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
    StreamRecord,
    SummaryMade,
    SummaryRecord,
    ToolRecord,
    TurnRecord,
    UpdateRecord,
    UsageRecord,
)

HOUR_S = 3_600.0
TURNS = 300
WINDOW, TRIGGER, TARGET = 32_768, 20_000, 14_600
INSTRUCTION_TOKENS = 1_400
MODEL = "gemini-live-2.5-flash"
TEXT_MODEL = "gemini-3.5-flash-lite"

_CALLER = (
    "And the kitchen, there was water on the floor when we came back on Sunday evening.",
    "Yes.",
    "The neighbour upstairs said it was his washing machine, he is called Marek Nowak.",
    "I think it was about four hundred and eighty euros, I have the receipt somewhere.",
    "No, we were not at home. We had left on Friday, around three in the afternoon.",
    "Could somebody come and look at it before Thursday?",
    "It has swollen, the whole row next to the window, you cannot close the doors any more.",
    "Right. And what happens to the floor in the hall?",
)
_AGENT = (
    "I have noted the kitchen floor. Were any of the cupboards touching the water?",
    "Thank you. I am adding that to your claim. Do you know the name of the company he is insured"
    " with?",
    "An assessor can come on Wednesday between nine and twelve. Shall I book that for you?",
    "Photographs help. You can send them to the address in the message I sent, up to ten of them.",
    "That is covered up to the sum in your policy. The deductible of one hundred and fifty euros"
    " applies once, not for every room.",
    "Let me read that back: one row of cupboards, the floor of the kitchen, and the carpet in the"
    " hall.",
)
_FACTS = (
    FactRecord("name", "Ann Taylor", 21.0),
    FactRecord("policy number", "HH 20-4471-93", 44.0),
    FactRecord("address", "Lindenstrasse 14, second floor left", 70.0),
    FactRecord("damage seen", "Sunday 22 November, about 7 p.m.", 131.0),
    FactRecord("neighbour upstairs", "Marek Nowak, washing machine", 190.0),
    FactRecord("call back", "mobile, after 5 p.m.", 420.0),
    FactRecord("assessor", "Wednesday 2 December, 9 to 12", 2_210.0),
)
_SUMMARY = SummaryRecord(
    caller="Ann Taylor, tenant at Lindenstrasse 14, policy HH 20-4471-93",
    wants="To report water damage in her kitchen and hall, and to have it assessed before Thursday",
    facts=(
        "Water came from the flat above (Marek Nowak, washing machine)",
        "Away from Friday 3 p.m. until Sunday about 7 p.m.",
        "One row of cupboards by the window has swollen; doors do not close",
        "Carpet in the hall: bought for 480 euros, receipt to be looked for",
        "Deductible of 150 euros, once",
    ),
    promises=(
        "Assessor comes on Wednesday 2 December between 9 and 12",
        "A message with the address for photographs was sent; a confirmation follows today",
    ),
    open_points=(
        "Name of the neighbour's insurer",
        "Whether the floor under the dishwasher is wet",
    ),
    language="English",
    turns=TURNS - 6,
)
_MOVES: tuple[tuple[float, MoveCause, MoveKind, float], ...] = (
    (522.0, MoveCause.GO_AWAY, MoveKind.RESUME, 0.0),
    (1_050.0, MoveCause.AGE, MoveKind.RESUME, 0.0),
    (1_395.0, MoveCause.LOST, MoveKind.REFILL, 640.0),
    (1_790.0, MoveCause.CONTEXT, MoveKind.STANDBY, 0.0),
    (2_204.0, MoveCause.UPDATE, MoveKind.RESUME, 0.0),
    (2_600.0, MoveCause.AGE, MoveKind.RESUME, 0.0),
    (2_890.0, MoveCause.LATENCY, MoveKind.STANDBY, 0.0),
    (3_150.0, MoveCause.GO_AWAY, MoveKind.RESUME, 0.0),
    (3_410.0, MoveCause.CONTEXT, MoveKind.STANDBY, 0.0),
)
_CALLS: tuple[tuple[float, str, dict[str, Any], dict[str, Any]], ...] = (
    (61.0, "policy", {"number": "HH 20-4471-93"}, {"status": "active"}),
    (640.0, "open_claim", {"kind": "water"}, {"claim": "W-118204"}),
    (1_480.0, "send_message", {"template": "photographs"}, {"sent": True}),
    (2_200.0, "book_assessor", {"day": "2026-12-02"}, {"slot": "9 to 12"}),
    (3_300.0, "add_to_claim", {"item": "carpet", "amount": 480}, {"ok": True}),
)
_CAUGHT = {9: "timeout", 17: "discarded", 18: "failed", 30: "timeout"}
_DETAILS = {
    "timeout": "no answer within 20 s",
    "discarded": "11,420 characters where 2,400 are allowed",
    "failed": "503: the model is overloaded",
}


def long_record(*, seed: int = 4) -> CallRecord:
    """Write down a made-up hour; the same one for the same seed."""
    chance = random.Random(seed)
    moves = [_move(*move) for move in _MOVES]
    context = ContextRecord(WINDOW, TRIGGER, TARGET)
    turns: list[TurnRecord] = []
    now_s, tokens, next_moves = 0.4, float(INSTRUCTION_TOKENS), list(moves)
    while len(turns) < TURNS:
        rest_s = HOUR_S - 20 - now_s
        share = rest_s / (TURNS - len(turns))
        if next_moves and now_s >= next_moves[0].left_s:
            move = next_moves.pop(0)
            if move.kind in (MoveKind.REFILL, MoveKind.STANDBY):
                tokens = INSTRUCTION_TOKENS + 2_100
        agent = len(turns) % 2 == 0
        length_s = share * chance.uniform(0.55, 0.85)
        if agent:
            # The server cuts as a turn of the model begins.
            context.samples.append(ContextSample(now_s, round(tokens), reported=False))
            if tokens > TRIGGER:
                after = TARGET - chance.uniform(0, 700)
                context.cuts.append(CutRecord(now_s, round(tokens), round(after)))
                tokens = after
        turns.append(_turn(turns, agent=agent, now_s=now_s, length_s=length_s, chance=chance))
        tokens += length_s * (25 if agent else 32) * 1.7
        now_s += length_s
        # Counts do not come with every turn.
        if agent and chance.random() > 0.15:
            context.samples.append(ContextSample(now_s, round(tokens), reported=True))
        now_s += share * chance.uniform(0.1, 0.25)
    context.tokens = round(tokens)
    context.most_tokens = max(sample.tokens for sample in context.samples)
    context.caller_tokens_per_s, context.model_tokens_per_s = 31.7, 25.1
    context.left_s = 214.0
    context.summaries = [_made(number, turns, chance) for number in range(40)]
    context.updates = [
        UpdateRecord(612.0, "context", "next_move", 1_050.4),
        UpdateRecord(2_190.0, "instruction", "next_move", 2_204.5),
        UpdateRecord(3_440.0, "context", "next_move"),
    ]
    return CallRecord(
        call_sid="CA" + "fedcba9876543210" * 2,
        agent="home-claims",
        model=MODEL,
        started_at="2026-11-26T09:12:40.118+00:00",
        ended_s=HOUR_S,
        end_reason=EndReason.CALLER_HUNG_UP,
        streams=[StreamRecord("MZ" + "0" * 32, 0.0, HOUR_S, EndReason.CALLER_HUNG_UP)],
        turns=turns,
        tools=_tools(chance),
        barge_ins=[BargeInRecord(turns[n].ended_s, 1_800.0) for n in (36, 90, 154, 240)],
        digits=[DigitRecord(digit, 55.0 + 0.5 * n) for n, digit in enumerate("20447193")],
        moves=moves,
        usage=UsageRecord(context.tokens, 61_400, 1_904_220, 68_310),
        context=context,
        summary=_SUMMARY,
        facts=list(_FACTS),
    )


def _turn(
    turns: list[TurnRecord], *, agent: bool, now_s: float, length_s: float, chance: random.Random
) -> TurnRecord:
    words = _AGENT if agent else _CALLER
    said = words[len(turns) // 2 % len(words)]
    if not agent:
        return TurnRecord("caller", said, said, now_s, now_s + length_s)
    ms = 1000 * length_s
    delay_s = chance.uniform(0.6, 1.3) if turns else None
    turn = TurnRecord("agent", said, said, now_s, now_s + length_s, False, ms, ms, delay_s)
    if len(turns) in (36, 90, 154, 240):
        turn = replace(turn, heard=said[: said.index(" ", 20)], interrupted=True)
        turn.said_ms += 1_800
    return turn


def _move(left_s: float, cause: MoveCause, kind: MoveKind, gap_ms: float) -> MoveRecord:
    abrupt = cause is MoveCause.LOST
    return MoveRecord(
        cause,
        MoveMoment.ABRUPT if abrupt else MoveMoment.SAFE_POINT,
        kind,
        wanted_s=left_s - (0 if abrupt else 6.5),
        left_s=left_s,
        done_s=left_s + (1.5 if abrupt else 0.32),
        gap_ms=gap_ms,
        held_ms=1_480.0 if abrupt else 300.0,
        tries=3 if abrupt else 1,
        model=MODEL,
        detail="closed with 1011: Internal error encountered." if abrupt else "",
    )


def _made(number: int, turns: list[TurnRecord], chance: random.Random) -> SummaryMade:
    at_s = turns[min(7 * (number + 1), TURNS - 6)].ended_s + number % 7
    outcome = _CAUGHT.get(number, "ok")
    took_s = 20.0 if outcome == "timeout" else chance.uniform(0.8, 2.4)
    return SummaryMade(
        at_s,
        took_s,
        outcome,  # type: ignore[arg-type]  # one of the four
        turns=7 if _CAUGHT.get(number - 1, "ok") == "ok" else 14,
        by=TEXT_MODEL,
        tokens=0 if outcome in ("timeout", "failed") else chance.randint(1_500, 2_100),
        detail=_DETAILS.get(outcome, ""),
    )


def _tools(chance: random.Random) -> list[ToolRecord]:
    tools = [
        ToolRecord(
            f"r{n}",
            "remember",
            {"key": fact.key, "value": fact.value},
            fact.at_s,
            fact.at_s + 0.001,
            "ok",
            {"output": "done"},
        )
        for n, fact in enumerate(_FACTS)
    ]
    for n, (at_s, name, args, answer) in enumerate(_CALLS):
        took_s = chance.uniform(0.1, 0.9)
        tools.append(ToolRecord(f"t{n}", name, args, at_s, at_s + took_s, "ok", answer))
    return sorted(tools, key=lambda tool: tool.started_s)
