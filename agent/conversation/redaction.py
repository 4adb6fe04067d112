"""Takes out of a call's record what must not be stored: card numbers, and contacts where asked.

The model has to know a number to work with it, so what a call holds in memory stays whole; only
what leaves the process goes through here. A recording is not touched: whoever switches it on keeps
what was said, card numbers included. Nor is what belongs to a card beside its number (expiry date,
security code), or a number that was misheard: its check digit is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agent.conversation.card_numbers import MAX_DIGITS, MIN_DIGITS, cards_in, find_cards
from agent.conversation.contacts import find_emails, find_phones, long_runs
from agent.conversation.digits import Gap, Piece, Span
from agent.conversation.record import (
    CallRecord,
    DigitRecord,
    FactRecord,
    SummaryRecord,
    ToolRecord,
    TurnRecord,
)
from agent.spec import Redaction

CARD: Final = "[card number removed]"
EMAIL: Final = "[e-mail address removed]"
PHONE: Final = "[phone number removed]"
KEY: Final = "•"
"""In the place of a key that was part of a number."""

# A pause, or a hash, after which people begin another number; longer than they look for a card's
# next group.
_KEYS_PAUSE_S: Final = 8.0
# A part of a number that was found elsewhere in the call. What may be shown of a card is shorter:
# its first six and last four digits (PCI DSS 4.0, requirement 3.4.1).
_ECHO_DIGITS: Final = 7
# A country code has three digits at most, and what only some write is left out.
_CODE_DIGITS: Final = 4
# orjson, which renders records, stops at 254.
_MAX_DEPTH: Final = 200
# Taking something out may show something else; more rounds than this were never needed.
_ROUNDS: Final = 4


@dataclass(slots=True)
class _Numbers:
    """What was found so far in one call: its parts are looked for elsewhere."""

    cards: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)

    def note_phone(self, text: str) -> None:
        """Note a phone number, without what only some write: "+", "00", a trunk's 0."""
        digits = "".join(letter for letter in text if letter.isdecimal()).lstrip("0")
        if len(digits) >= _ECHO_DIGITS:
            self.phones.add(digits)

    def label(self, digits: str) -> str | None:
        """What these digits are a part of."""
        if len(digits) < _ECHO_DIGITS:
            return None
        if any(digits in card for card in self.cards):
            return CARD
        if any(_same_phone(phone, digits) for phone in self.phones):
            return PHONE
        return None


class Redactor:
    """Redacts texts, values and records. It remembers nothing and never raises.

    Args:
        redaction: What is taken out beside card numbers.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._emails = redaction.emails
        self._phones = redaction.phone_numbers

    def redact_text(self, text: str) -> str:
        """Return a text with what was found in it named instead."""
        return self._text(text, _Numbers())

    def redact_value(self, value: Any) -> Any:
        """Return a JSON-like value whose texts, keys included, are redacted.

        A whole number that is a card's becomes a text. The same object comes back where there is
        nothing to redact.
        """
        return self._value(value, _Numbers())

    def redact_record(self, record: CallRecord) -> CallRecord:
        """Return a copy whose texts and keys are redacted; times and counts stay as they are.

        A number is also found where it is spread over turns, and what was found anywhere is taken
        out everywhere.
        """
        for _ in range(_ROUNDS):
            numbers = _Numbers()
            redacted = self._record(record, numbers)
            if numbers.cards or numbers.phones:
                redacted = self._record(redacted, numbers)
            if redacted == record:
                break
            record = redacted
        return replace(record)

    def _record(self, record: CallRecord, numbers: _Numbers) -> CallRecord:
        return replace(
            record,
            detail=self._text(record.detail, numbers),
            streams=[
                replace(stream, detail=self._text(stream.detail, numbers))
                for stream in record.streams
            ],
            moves=[replace(move, detail=self._text(move.detail, numbers)) for move in record.moves],
            turns=self._turns(record.turns, numbers),
            tools=[self._tool(tool, numbers) for tool in record.tools],
            digits=_keys(record.digits, numbers),
            summary=record.summary and self._summary(record.summary, numbers),
            facts=[self._fact(fact, numbers) for fact in record.facts],
            context=replace(
                record.context,
                summaries=[
                    replace(made, detail=self._text(made.detail, numbers))
                    for made in record.context.summaries
                ],
            ),
        )

    def _turns(self, turns: Sequence[TurnRecord], numbers: _Numbers) -> list[TurnRecord]:
        redacted = list(turns)
        for speaker in ("caller", "agent"):
            places = [place for place, turn in enumerate(turns) if turn.speaker == speaker]
            texts = [turns[place].said for place in places]
            spans, found = find_cards(texts, loose=True)
            numbers.cards |= found
            for number, place in enumerate(places):
                redacted[place] = self._turn(turns[place], spans.get(number, ()), numbers)
        return redacted

    def _turn(self, turn: TurnRecord, cards: Sequence[Span], numbers: _Numbers) -> TurnRecord:
        spans = self._spans(turn.said, cards, numbers)
        if turn.heard == turn.said:
            if not spans:
                return turn
            said = _replaced(turn.said, spans)
            return replace(turn, said=said, heard=said)
        if not spans:
            heard = self._text(turn.heard, numbers)
            return turn if heard == turn.heard else replace(turn, heard=heard)
        said = _replaced(turn.said, spans)
        if turn.said.startswith(turn.heard):
            # Cut where the words were cut: half a number is a number.
            cut = [span for span in spans if span[0] < len(turn.heard)]
            end = max([len(turn.heard), *(until for _, until, _ in cut)])
            heard = _replaced(turn.said[:end], cut)
        else:
            heard = self._text(turn.heard, numbers)
        return replace(turn, said=said, heard=heard)

    def _tool(self, tool: ToolRecord, numbers: _Numbers) -> ToolRecord:
        name = self._text(tool.name, numbers)
        args, response = self._value(tool.args, numbers), self._value(tool.response, numbers)
        if name is tool.name and args is tool.args and response is tool.response:
            return tool
        return replace(tool, name=name, args=args, response=response)

    def _summary(self, summary: SummaryRecord, numbers: _Numbers) -> SummaryRecord:
        return replace(
            summary,
            caller=self._text(summary.caller, numbers),
            wants=self._text(summary.wants, numbers),
            facts=self._texts(summary.facts, numbers),
            promises=self._texts(summary.promises, numbers),
            open_points=self._texts(summary.open_points, numbers),
            language=self._text(summary.language, numbers),
        )

    def _fact(self, fact: FactRecord, numbers: _Numbers) -> FactRecord:
        key, value = self._text(fact.key, numbers), self._text(fact.value, numbers, about=fact.key)
        return (
            fact if key is fact.key and value is fact.value else replace(fact, key=key, value=value)
        )

    def _texts(self, texts: Iterable[str], numbers: _Numbers) -> tuple[str, ...]:
        return tuple(self._text(text, numbers) for text in texts)

    def _value(self, value: Any, numbers: _Numbers, *, about: str = "", depth: int = 0) -> Any:
        if isinstance(value, str):
            return self._text(value, numbers, about=about)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._number(value, numbers, about)
        if depth > _MAX_DEPTH:
            return value if value is None or isinstance(value, bool) else "[nested too deeply]"
        if isinstance(value, dict):
            return self._mapping(value, numbers, depth + 1)
        if isinstance(value, (list, tuple)):
            items = [self._value(item, numbers, about=about, depth=depth + 1) for item in value]
            same = all(new is item for item, new in zip(value, items, strict=True))
            return value if same else items
        return value

    def _mapping(self, mapping: dict[Any, Any], numbers: _Numbers, depth: int) -> dict[Any, Any]:
        redacted: dict[Any, Any] = {}
        same = True
        for key, item in mapping.items():
            name = self._text(key, numbers) if isinstance(key, str) else key
            same = same and name is key
            while name is not key and (name in redacted or name in mapping):
                # Two numbers may be the keys.
                name += "'"
            redacted[name] = self._value(item, numbers, about=str(key)[:64], depth=depth)
            same = same and redacted[name] is item
        return mapping if same else redacted

    def _number(self, value: float, numbers: _Numbers, about: str) -> Any:
        """Models hand a card's number over as a number, too."""
        if not 10 ** (_ECHO_DIGITS - 1) <= value < 10**MAX_DIGITS or value != int(value):
            return value
        digits = str(int(value))
        text = self._text(digits, numbers, about=about)
        return value if text == digits else text

    def _text(self, text: str, numbers: _Numbers, *, about: str = "") -> str:
        for _ in range(_ROUNDS):
            cards: dict[int, list[Span]] = {}
            if len(text) >= MIN_DIGITS:
                cards, found = find_cards([text])
                numbers.cards |= found
            spans = self._spans(text, cards.get(0, ()), numbers, about=about)
            if not spans:
                break
            text = _replaced(text, spans)
        return text

    def _spans(
        self, text: str, cards: Sequence[Span], numbers: _Numbers, *, about: str = ""
    ) -> list[tuple[int, int, str]]:
        """Find everything in a text that goes, in order and without overlaps."""
        spans = [(start, end, CARD) for start, end in cards]
        if self._emails:
            spans += [(*span, EMAIL) for span in find_emails(text)]
        if self._phones:
            for start, end in find_phones(text, about=about):
                spans.append((start, end, PHONE))
                numbers.note_phone(text[start:end])
        if (numbers.cards or numbers.phones) and len(text) >= _ECHO_DIGITS:
            for start, end, digits in long_runs(text, _ECHO_DIGITS):
                if label := numbers.label(digits):
                    spans.append((start, end, label))
        return _merged(spans)


def _keys(keys: Sequence[DigitRecord], numbers: _Numbers) -> list[DigitRecord]:
    """Hide the keys that form a number, each side's by themselves."""
    redacted = list(keys)
    for sent in (False, True):
        places: list[int] = []
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
            places.append(place)
            last_s, ended = key.at_s, False
        hits, found = cards_in(pieces)
        numbers.cards |= found
        for hit in hits | _echoes(pieces, numbers):
            redacted[places[hit]] = replace(redacted[places[hit]], digit=KEY)
    return redacted


def _echoes(pieces: Sequence[Piece], numbers: _Numbers) -> set[int]:
    hits: set[int] = set()
    first = 0
    for after in range(1, len(pieces) + 1):
        if after < len(pieces) and pieces[after].gap is Gap.TIGHT:
            continue
        if numbers.label("".join(piece.digits for piece in pieces[first:after])):
            hits.update(range(first, after))
        first = after
    return hits


def _merged(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    merged: list[tuple[int, int, str]] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((start, end, label))
    return merged


def _replaced(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    since = 0
    for start, end, label in spans:
        parts += (text[since:start], label)
        since = end
    return "".join(parts) + text[since:]


def _same_phone(one: str, other: str) -> bool:
    """Whether two numbers differ in nothing but what leads from another country or town."""
    short, long = sorted((one, other), key=len)
    return long.endswith(short) and len(long) - len(short) <= _CODE_DIGITS
