"""Takes out of a call's record what must not be stored: card known, and contacts where asked.

The model has to know a number to work with it, so what a call holds in memory stays whole; only
what leaves the process goes through here. A recording is not touched: whoever switches it on keeps
what was said, card numbers included. Nor is what belongs to a card beside its number (expiry date,
security code), or a number that was misheard: its check digit is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agent.conversation.card_numbers import (
    MAX_DIGITS,
    MIN_DIGITS,
    cards_among,
    cards_in,
    find_cards,
)
from agent.conversation.contacts import find_emails, find_phones
from agent.conversation.digits import Gap, Piece, Span, joined, may_hold, read_pieces
from agent.conversation.record import (
    CallRecord,
    DigitRecord,
    FactRecord,
    MoveRecord,
    Speaker,
    StreamRecord,
    SummaryMade,
    SummaryRecord,
    ToolRecord,
    TurnRecord,
)
from agent.conversation.removal import (
    CARD,
    ECHO_DIGITS,
    EMAIL,
    KEY,
    PHONE,
    Known,
    Named,
    merged,
    replaced,
)
from agent.spec import Redaction

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
D = TypeVar("D", StreamRecord, MoveRecord, SummaryMade)

# A pause, or a hash, after which people begin another number; longer than they look for a card's
# next group.
_KEYS_PAUSE_S: Final = 8.0
# orjson, which renders records, stops at 254.
_MAX_DEPTH: Final = 200
# Taking something out may show something else; more rounds than this were never needed.
_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class _Said:
    """A turn that was looked through."""

    place: int
    turn: TurnRecord
    spans: list[Named]
    long: bool
    """It holds digits that may be a part of a number found elsewhere."""


class Redactor:
    """Redacts texts, values and records. It remembers nothing and never raises.

    Args:
        redaction: What is taken out beside card known.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._emails = redaction.emails
        self._phones = redaction.phone_numbers

    def redact_text(self, text: str) -> str:
        """Return a text with what was found in it named instead."""
        return self._text(text, Known())

    def redact_value(self, value: Any) -> Any:
        """Return a JSON-like value whose texts, keys included, are redacted.

        A whole number that is a card's becomes a text. The same object comes back where there is
        nothing to redact.
        """
        return self._value(value, Known())

    def redact_record(self, record: CallRecord) -> CallRecord:
        """Return a record whose texts and keys are redacted; times and counts stay as they are.

        The same object comes back where there is nothing to redact. A number is also found where
        it is spread over turns, and what was found anywhere is taken out everywhere.
        """
        for _ in range(_ROUNDS):
            redacted = self._record(record)
            if redacted is record:
                break
            record = redacted
        return record

    def _record(self, record: CallRecord) -> CallRecord:
        known = Known()
        sides = [self._side(record.turns, speaker, known) for speaker in ("caller", "agent")]
        rest = self._rest(record, known)
        if known.cards or known.phones:
            # Now that all of them are known.
            rest = self._rest(record, known)
        turns = list(record.turns)
        for side in sides:
            for said in side:
                turns[said.place] = self._turn(said, known)
        return _with(rest, turns=turns)

    def _rest(self, record: CallRecord, known: Known) -> CallRecord:
        """Redact everything but the turns."""
        summaries = self._details(record.context.summaries, known)
        return _with(
            record,
            detail=self._text(record.detail, known),
            streams=self._details(record.streams, known),
            moves=self._details(record.moves, known),
            tools=[self._tool(tool, known) for tool in record.tools],
            digits=_keys(record.digits, known),
            summary=record.summary and self._summary(record.summary, known),
            facts=[self._fact(fact, known) for fact in record.facts],
            context=_with(record.context, summaries=summaries),
        )

    def _details(self, items: Iterable[D], known: Known) -> list[D]:
        return [_with(item, detail=self._text(item.detail, known)) for item in items]

    def _side(self, turns: Sequence[TurnRecord], speaker: Speaker, known: Known) -> list[_Said]:
        """Look through all that one side said, whose turns belong together."""
        side = [(place, turn) for place, turn in enumerate(turns) if turn.speaker == speaker]
        texts = [turn.said for _, turn in side]
        pieces = read_pieces(texts, loose=True)
        cards, found = cards_among(pieces, texts)
        known.cards |= found
        rows = joined(pieces, Gap.LISTED)
        long = {row.text for row in rows if len(row.digits) >= ECHO_DIGITS}
        return [
            _Said(place, turn, self._own(turn.said, cards.get(number, ()), known), number in long)
            for number, (place, turn) in enumerate(side)
        ]

    def _turn(self, said: _Said, known: Known) -> TurnRecord:
        turn = said.turn
        spans = merged([*said.spans, *(known.echoes(turn.said) if said.long else ())])
        new_said = replaced(turn.said, spans)
        if turn.heard == turn.said:
            heard = new_said
        elif spans and turn.said.startswith(turn.heard):
            # Cut where the words were cut: half a number is a number.
            cut = [span for span in spans if span[0] < len(turn.heard)]
            end = max([len(turn.heard), *(until for _, until, _ in cut)])
            heard = replaced(turn.said[:end], cut)
        else:
            heard = self._text(turn.heard, known)
        return _with(turn, said=new_said, heard=heard)

    def _tool(self, tool: ToolRecord, known: Known) -> ToolRecord:
        return _with(
            tool,
            name=self._text(tool.name, known),
            args=self._value(tool.args, known),
            response=self._value(tool.response, known),
        )

    def _summary(self, summary: SummaryRecord, known: Known) -> SummaryRecord:
        return _with(
            summary,
            caller=self._text(summary.caller, known),
            wants=self._text(summary.wants, known),
            facts=self._texts(summary.facts, known),
            promises=self._texts(summary.promises, known),
            open_points=self._texts(summary.open_points, known),
            language=self._text(summary.language, known),
        )

    def _fact(self, fact: FactRecord, known: Known) -> FactRecord:
        value = self._text(fact.value, known, about=fact.key)
        return _with(fact, key=self._text(fact.key, known), value=value)

    def _texts(self, texts: Iterable[str], known: Known) -> tuple[str, ...]:
        return tuple(self._text(text, known) for text in texts)

    def _value(self, value: Any, known: Known, *, about: str = "", depth: int = 0) -> Any:
        if isinstance(value, str):
            return self._text(value, known, about=about)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._number(value, known, about)
        if depth > _MAX_DEPTH:
            return value if value is None or isinstance(value, bool) else "[nested too deeply]"
        if isinstance(value, dict):
            return self._mapping(value, known, depth + 1)
        if isinstance(value, (list, tuple)):
            items = [self._value(item, known, about=about, depth=depth + 1) for item in value]
            same = all(new is item for item, new in zip(value, items, strict=True))
            return value if same else items
        return value

    def _mapping(self, mapping: dict[Any, Any], known: Known, depth: int) -> dict[Any, Any]:
        redacted: dict[Any, Any] = {}
        same = True
        for key, item in mapping.items():
            name = self._text(key, known) if isinstance(key, str) else key
            same = same and name is key
            while name is not key and (name in redacted or name in mapping):
                # Two numbers may be the keys.
                name += "'"
            redacted[name] = self._value(item, known, about=str(key)[:64], depth=depth)
            same = same and redacted[name] is item
        return mapping if same else redacted

    def _number(self, value: float, known: Known, about: str) -> Any:
        """Models hand a card's number over as a number, too."""
        if not 10 ** (ECHO_DIGITS - 1) <= value < 10**MAX_DIGITS or value != int(value):
            return value
        digits = str(int(value))
        text = self._text(digits, known, about=about)
        return value if text == digits else text

    def _text(self, text: str, known: Known, *, about: str = "") -> str:
        for _ in range(_ROUNDS):
            cards: dict[int, list[Span]] = {}
            if may_hold(text, MIN_DIGITS):
                cards, found = find_cards([text])
                known.cards |= found
            spans = self._own(text, cards.get(0, ()), known, about=about)
            spans = merged([*spans, *known.echoes(text)])
            if not spans:
                break
            text = replaced(text, spans)
        return text

    def _own(
        self, text: str, cards: Sequence[Span], known: Known, *, about: str = ""
    ) -> list[Named]:
        """Find what goes from a text for what it is there; note the known."""
        spans = [(start, end, CARD) for start, end in cards]
        if self._emails:
            spans += [(*span, EMAIL) for span in find_emails(text)]
        if self._phones:
            for start, end in find_phones(text, about=about):
                spans.append((start, end, PHONE))
                known.note_phone(text[start:end])
        return spans


def _with(item: T, **parts: Any) -> T:
    """An item with other parts; itself where they are what it has already."""
    if all(_same(part, getattr(item, name)) for name, part in parts.items()):
        return item
    return replace(item, **parts)


def _same(new: Any, old: Any) -> bool:
    """Whether nothing was redacted: the parts of a list come back as they were."""
    return new is old or (isinstance(new, (list, tuple, str)) and new == old)


def _keys(keys: Sequence[DigitRecord], known: Known) -> list[DigitRecord]:
    """Hide the keys that form a number, each side's by themselves."""
    redacted = list(keys)
    for sent in (False, True):
        pieces: list[Piece] = []
        last_s, ended = 0.0, True
        for place, key in enumerate(keys):
            if key.sent != sent:
                continue
            if not (key.digit.isdecimal() and key.digit.isascii()):
                # A star stands between groups, a hash ends a number.
                ended = ended or key.digit != "*"
                continue
            gap = Gap.TURN if ended or key.at_s - last_s > _KEYS_PAUSE_S else Gap.TIGHT
            pieces.append(Piece(0, place, place + 1, key.digit, gap if pieces else Gap.WIDE))
            last_s, ended = key.at_s, False
        hits, found = cards_in(pieces)
        known.cards |= found
        places = [pieces[hit].start for hit in hits]
        for number in joined(pieces):
            if known.label(number.digits):
                inside = (one.start for one in pieces)
                places += [place for place in inside if number.start <= place < number.end]
        for place in places:
            redacted[place] = replace(redacted[place], digit=KEY)
    return redacted
