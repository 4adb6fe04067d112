"""The moves of a call on its page: their lane, the lines across all lanes, the reset reports."""

from __future__ import annotations

from collections.abc import Sequence

from agent.conversation.record import CallRecord, MoveRecord
from workers.dashboard.call_page.axis import Axis, Lane, Mark, packed
from workers.dashboard.call_page.transcript_table import time_cell
from workers.dashboard.markup import Markup, element
from workers.dashboard.moves import cause_words, milliseconds, move_words, tone_of, whole
from workers.dashboard.story import Tone, at, long

_HEADINGS = (
    ("Left at", "When caller audio began to be held"),
    ("Cause", "Why the connection was left"),
    ("Moment", "What the conversation was doing"),
    ("Kind", "How the next connection was got"),
    ("Gap", "How long the caller was owed something to hear and heard nothing"),
    ("Took", "From leaving the old connection until the next had been given all that was held"),
    ("Held", "Caller audio that arrived meanwhile"),
    ("Replayed", "Caller audio sent again, because the session may not have known it"),
    ("Lost", "Caller audio that no session has heard"),
    ("Cut", "Model audio that was dropped because the caller spoke meanwhile"),
    ("Tries", "Connections dialled"),
    ("Detail", ""),
)
_FIRST_NUMBER, _DETAIL = 4, 11


def moves_lane(moves: Sequence[MoveRecord], axis: Axis) -> Lane | None:
    """Mark each move from leaving the old connection to serving on the next."""
    marks = [
        Mark(
            move.left_s,
            max(move.left_s, move.done_s),
            f"{move.cause.value} → {_kind(move)} · gap {milliseconds(move.gap_ms)}",
            f"{at(move.left_s)}  {move_words(move)}; {cause_words(move.cause)}",
            tone_of(move),
        )
        for move in moves
    ]
    return packed("Moves", "moves", marks, axis)


def move_lines(moves: Sequence[MoveRecord], axis: Axis) -> list[Markup]:
    """Draw a line through all lanes where a connection was left."""
    return [
        element("i", {"class": f"line move {tone_of(move)}", "style": axis.place(move.left_s)})
        for move in moves
    ]


def moves_section(record: CallRecord) -> Markup:
    """Table of the reset reports; nothing where the session never moved."""
    if not record.moves:
        return Markup("")
    headings = [
        element("th", {"scope": "col", "title": title, "class": _column(number)}, name)
        for number, (name, title) in enumerate(_HEADINGS)
    ]
    rows = [_row(move, record.model) for move in record.moves]
    return element(
        "section",
        {"class": "card reset-reports", "aria-labelledby": "moves"},
        element("h2", {"id": "moves"}, "Moves between Live connections"),
        element(
            "table",
            {"class": "reports"},
            element("thead", None, element("tr", None, *headings)),
            element("tbody", None, *rows),
        ),
    )


def _row(move: MoveRecord, first_model: str) -> Markup:
    cells: list[tuple[str, Tone]] = [
        (move.moment.value.replace("_", " "), "good"),
        (_kind(move), "good" if move.kind else "bad"),
        (milliseconds(move.gap_ms), "odd" if whole(move.gap_ms) else "good"),
        (long(max(0.0, move.done_s - move.left_s)), "good"),
        (milliseconds(move.held_ms), "good"),
        (milliseconds(move.replayed_ms), "good"),
        (milliseconds(move.lost_ms), "bad" if whole(move.lost_ms) else "good"),
        (milliseconds(move.cut_ms), "good"),
        (str(move.tries), "good"),
    ]
    detail = [element("span", None, move.detail)] if move.detail else []
    if move.model and move.model != first_model:
        model = element("code", None, move.model)
        detail.append(element("span", {"class": "small"}, "with ", model))
    return element(
        "tr",
        {"class": tone_of(move)},
        time_cell(move.left_s),
        element(
            "td",
            {"data-name": _HEADINGS[1][0], "title": cause_words(move.cause)},
            move.cause.value,
        ),
        *(_cell(number, *cell) for number, cell in enumerate(cells, start=2)),
        element("td", {"class": "words", "dir": "auto"}, Markup(" ".join(detail))),
    )


def _cell(number: int, value: str, tone: Tone) -> Markup:
    classes = " ".join(part for part in (_column(number), "" if tone == "good" else tone) if part)
    return element("td", {"class": classes, "data-name": _HEADINGS[number][0]}, value)


def _column(number: int) -> str:
    return "number" if _FIRST_NUMBER <= number < _DETAIL else ""


def _kind(move: MoveRecord) -> str:
    return move.kind.value if move.kind else "none"
