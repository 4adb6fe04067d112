"""The rows of a call's transcript: what was said and heard, and what happened in between."""

from __future__ import annotations

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    CutRecord,
    FactRecord,
    MoveRecord,
    SummaryMade,
    ToolRecord,
    TurnRecord,
    UpdateRecord,
)
from workers.dashboard.markup import Markup, element
from workers.dashboard.memory import cut_words, fact_of, made_tone, made_words, update_words
from workers.dashboard.moves import move_words, tone_of
from workers.dashboard.story import (
    SLOW_ANSWER_S,
    Happening,
    KeysPressed,
    StreamChange,
    Tone,
    at,
    happenings,
    heard_and_not,
    long,
    plain,
    tool_verdict,
)
from workers.dashboard.streams import change_words, left_of

# About as many rows as the numbers beside them are high; more would bury what comes after them.
_MOST_ROWS = 40


_TOOLS: dict[Tone, str] = {"good": "tool", "odd": "tool unknown", "bad": "tool failed"}


def transcript_table(record: CallRecord) -> Markup:
    """A table of what was said and what happened; of a long call, in a box to be scrolled in."""
    rows = transcript_rows(record)
    head = (
        element("th", {"scope": "col"}, "Time"),
        element("th", {"scope": "col"}, "Speaker"),
        element("th", {"scope": "col"}, "Said ", element("del", None, "not heard")),
        element("th", {"scope": "col"}, "Heard"),
        element("th", {"scope": "col"}, "Delay"),
    )
    table = element(
        "table",
        {"class": "transcript"},
        element("thead", None, element("tr", None, *head)),
        element("tbody", None, *rows),
    )
    return boxed(table, "Transcript", tall=len(rows) > _MOST_ROWS)


def boxed(table: Markup, label: str, *, tall: bool) -> Markup:
    """``table``, in a box of its own where it is ``tall``; on paper it is whole all the same."""
    if not tall:
        return table
    # Without a place in the order of tabs, nobody could scroll it by keys.
    return element(
        "div", {"class": "box", "tabindex": 0, "role": "region", "aria-label": label}, table
    )


def transcript_rows(record: CallRecord) -> list[Markup]:
    """Rows of five cells: time, speaker, words, how much was heard, answer delay."""
    numbers = {id(turn): number for number, turn in enumerate(record.turns)}
    rows = []
    for at_s, happening in happenings(record):
        if isinstance(happening, TurnRecord):
            rows.append(_turn_row(happening, numbers[id(happening)]))
        else:
            rows.append(_event_row(at_s, happening))
    nothing = element("td", {"class": "words", "colspan": 5}, "Nobody said a word.")
    return rows or [element("tr", {"class": "event"}, nothing)]


def _turn_row(turn: TurnRecord, number: int) -> Markup:
    heard, unheard = heard_and_not(turn)
    agent = turn.speaker == "agent"
    words: list[str] = [heard]
    if unheard and agent:
        hidden = element("span", {"class": "unseen"}, " Not heard: ")
        words += [" " if heard else "", element("del", None, hidden, unheard)]
    elif not heard:
        words = [element("em", None, "no words transcribed")]
    attributes: dict[str, str | float | bool] = {
        "class": f"turn {turn.speaker}",
        "data-turn": number,
        "data-from": f"{turn.started_s:.3f}",
        "data-until": f"{turn.ended_s:.3f}",
    }
    return element(
        "tr",
        attributes,
        time_cell(turn.started_s),
        element("td", {"class": "who"}, turn.speaker),
        element("td", {"class": "words", "dir": "auto"}, *words),
        _heard_cell(turn) if agent else element("td", {"class": "heard none"}),
        _delay_cell(turn.answer_delay_s),
    )


def _heard_cell(turn: TurnRecord) -> Markup:
    cut = heard_and_not(turn)[1] or turn.interrupted
    if not cut or not turn.said_ms:
        return element("td", {"class": "heard"}, "some" if cut else "all")
    return element(
        "td",
        {"class": "heard part"},
        f"{turn.heard_ms / 1000:.1f} of {turn.said_ms / 1000:.1f} s",
    )


def _delay_cell(delay_s: float | None) -> Markup:
    if delay_s is None:
        return element("td", {"class": "wait none"})
    slow = delay_s > SLOW_ANSWER_S
    return element("td", {"class": "wait slow" if slow else "wait"}, long(delay_s))


def _event_row(at_s: float, happening: Happening) -> Markup:
    kind, who, words = _told(happening)
    return element(
        "tr",
        {"class": f"event {kind}"},
        time_cell(at_s),
        element("td", {"class": "who"}, who),
        element("td", {"class": "words", "dir": "auto", "colspan": 3}, *words),
    )


def _told(happening: Happening) -> tuple[str, str, list[str]]:
    match happening:
        case ToolRecord() if fact := fact_of(happening):
            return _told(fact)
        case ToolRecord(name=name, args=args, response=response):
            tone, verdict = tool_verdict(happening)
            answer = [" → ", element("code", None, plain(response))] if response else []
            call = element("code", None, f"{name}({plain(args)})")
            return (
                _TOOLS[tone],
                "tool",
                [call, *answer, " ", element("span", {"class": "small"}, verdict)],
            )
        case BargeInRecord(cut_ms=cut_ms):
            cut = f"The caller interrupted; {long(cut_ms / 1000)} of speech were not played."
            return "barge-in", "barge-in", [cut]
        case KeysPressed(digits=digits, sent=sent):
            side = "The agent sent " if sent else "The caller pressed "
            return "keys", "keys", [side, element("kbd", None, digits)]
        case MoveRecord():
            return f"move {tone_of(happening)}", "move", [move_words(happening)]
        case StreamChange(stream=stream, before=before):
            detail = f" {before.detail}" if before.detail else ""
            sid = element("code", None, stream.stream_sid)
            tone = left_of(before)[0]
            return f"stream {tone}", "stream", [f"{change_words(happening)}.{detail} ", sid]
        case CutRecord():
            return "forgot", "cut", [cut_words(happening)]
        case SummaryMade(detail=detail):
            tone = made_tone(happening)
            more = f" {detail}" if detail and tone != "good" else ""
            return f"summary {tone}", "summary", [made_words(happening), more]
        case UpdateRecord():
            return "update", "update", [update_words(happening)]
        case FactRecord(key=key, value=value):
            return "fact", "fact", [f"remembers {key}: ", element("b", None, value)]
        case TurnRecord():
            raise TypeError("a turn has a row of its own")


def time_cell(seconds: float) -> Markup:
    """A cell with a time of the call, from which one can listen."""
    return element(
        "td",
        {"class": "at"},
        element("button", {"type": "button", "data-at": f"{seconds:.3f}"}, at(seconds)),
    )
