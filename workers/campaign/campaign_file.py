"""Campaign: one campaign as frozen data, read from one YAML file.

The file is shaped for the operator (``hours: {mon-fri: 09:00-18:00}``), ``workers.campaign.model``
for the code. The ``TypedDict``s below are the file's shape: a field that it leaves out keeps the
model's default, which is written nowhere else. Every problem is reported at once, each with file,
line and field.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Required, TypeVar, get_args, get_type_hints
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

# Pydantic reads typing's own TypedDict from Python 3.12 on only; it brings this package along.
from typing_extensions import TypedDict, is_typeddict

from agent.errors import AgentSpecError
from agent.spec import PLACEHOLDER
from agent.text import UNSENDABLE
from agent.yaml_source import FieldPath, YamlSource, field_name, read_yaml
from workers.campaign.model import (
    DEFAULT_SPACING,
    Attempts,
    BrakeLimits,
    Campaign,
    Columns,
    Hours,
    LineOutcome,
    OutcomeField,
    Pace,
    Source,
    VoicemailPolicy,
    Webhook,
    Weekday,
    Window,
)

T = TypeVar("T")

_DAYS: Final = tuple(day.value for day in Weekday)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
# Reached, or never to be called again: waiting does not change that.
_FINAL: Final = frozenset({LineOutcome.HUMAN, LineOutcome.BAD_NUMBER, LineOutcome.OPTED_OUT})
_LONGEST_WAIT: Final = timedelta(days=365)
_DAY_MINUTES: Final = 24 * 60


# -- single values: the text that the file holds, to what it means ------------------------------


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("must be text")  # noqa: TRY004 - pydantic reports ValueErrors only
    return raw.strip()


def _clean(text: str) -> str:
    if bad := UNSENDABLE.search(text):
        raise ValueError(f"holds the control character {bad.group()!r}")
    return text


def _matching(pattern: str, otherwise: str) -> Callable[[object], str]:
    whole = re.compile(pattern, re.ASCII)

    def parse(raw: object) -> str:
        text = _text(raw)
        if not whole.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return parse


def _duration(raw: object) -> timedelta:
    """Six digits at most: more than that no ``timedelta`` may hold."""
    found = re.fullmatch(r"([0-9]{1,6}) ?([smhd])", _text(raw))
    if not found:
        raise ValueError("must be a duration such as 30s, 5m, 4h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _wait(raw: object) -> timedelta | None:
    if _text(raw).lower() == "off":
        return None
    wait = _duration(raw)
    if not timedelta(0) < wait <= _LONGEST_WAIT:
        raise ValueError("must be more than 0s and at most 365d, or off: not tried again")
    return wait


def _share(raw: object) -> float:
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", _text(raw))
    if not found:
        raise ValueError("must be a share such as 30%")
    percent = float(found[1])
    if not 0 < percent <= 100:
        raise ValueError("must be more than 0% and at most 100%")
    return percent / 100


def _limit(raw: object) -> float | None:
    text = _text(raw)
    if text.lower() == "off":
        return None
    if not text.endswith("%"):
        raise ValueError("must be a share such as 30%, or off")
    return _share(text)


def _date(raw: object) -> date:
    text = _text(raw)
    # ``fromisoformat`` alone takes week dates as well.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("must be a date such as 2026-12-25")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is not a day of the calendar") from error


def _tried_again(raw: object) -> LineOutcome:
    text = _text(raw)
    known = [outcome.value for outcome in LineOutcome if outcome not in _FINAL]
    if text in known:
        return LineOutcome(text)
    if text in list(LineOutcome):
        raise ValueError(f"is never tried again; spacing knows {', '.join(known)}")
    raise ValueError(f"unknown outcome{_did_you_mean(text, known)}")


def _variable(raw: object) -> str:
    """What an instruction can name between braces, letters beyond ASCII included."""
    text = _text(raw)
    if not PLACEHOLDER.fullmatch(f"{{{{{text}}}}}"):
        raise ValueError("must be letters, digits and '_', as between {{ and }} in the instruction")
    return text


def _delimiter(raw: object) -> str:
    # Not stripped: it may be a tab.
    text = _DELIMITERS.get(raw.strip().lower(), raw) if isinstance(raw, str) else ""
    if len(text) != 1 or text.isalnum() or text in '"\r\n ':
        raise ValueError(f"must be one character, or one of {', '.join(_DELIMITERS)}")
    return text


def _encoding(raw: object) -> str:
    text = _text(raw)
    try:
        "a".encode(text)  # ``codecs.lookup`` alone also finds base64 and the like.
    except (LookupError, ValueError) as error:
        raise ValueError("is no encoding that Python knows, such as utf-8 or cp1252") from error
    return text


def _region(raw: object) -> str:
    text = _text(raw).upper()
    if text not in SUPPORTED_REGIONS:
        hint = "; did you mean GB?" if text == "UK" else ""
        raise ValueError(f"must be a country's two letters (ISO 3166-1), such as US{hint}")
    return text


def _url(raw: object) -> str:
    text = _text(raw)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if not host or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError("must be a URL such as https://crm.example.com/calls")
    if parts.username is not None:
        raise ValueError("must not hold a user name or password; sign with secret_env instead")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("must be https; http is for this machine (127.0.0.1, localhost) only")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# -- mappings whose fields depend on each other -------------------------------------------------


class _Problems:
    """What is wrong inside one mapping, so that pydantic reports all of it in its place."""

    def __init__(self) -> None:
        self._found: list[InitErrorDetails] = []

    def note(self, at: FieldPath, message: str, raw: object = "") -> None:
        kind = PydanticCustomError("refused", "{message}", {"message": message})
        self._found.append(InitErrorDetails(type=kind, loc=at, input=raw))

    def read(self, at: FieldPath, parse: Callable[[object], T], raw: object) -> T | None:
        try:
            return parse(raw)
        except ValueError as error:
            self.note(at, str(error), raw)
            return None

    def done(self) -> None:
        if self._found:
            raise ValidationError.from_exception_data("mapping", self._found)


def _ramp(raw: object) -> tuple[tuple[timedelta, float], ...]:
    if not isinstance(raw, dict) or not raw:
        raise ValueError("must be a mapping such as {0m: 10%, 10m: 100%}")
    problems = _Problems()
    steps: list[tuple[timedelta, float]] = []
    for key, value in raw.items():
        after = problems.read((key,), _duration, key)
        share = problems.read((key,), _share, value)
        if after is None or share is None:
            continue
        if steps and after <= steps[-1][0]:
            problems.note((key,), "must be later than the step before")
        if steps and share <= steps[-1][1]:
            problems.note((key,), "must be more than the step before")
        steps.append((after, share))
    # A step that cannot be read says nothing of where the ramp begins and ends.
    if len(steps) == len(raw):
        keys = list(raw)
        if steps[0][0]:
            problems.note((keys[0],), "the first step must be at 0m")
        if steps[-1][1] != 1:
            problems.note((keys[-1],), "the last step must be 100%")
    problems.done()
    return tuple(steps)


def _hours(raw: object) -> Hours:
    if not isinstance(raw, dict):
        raise ValueError("must be a mapping such as {mon-fri: 09:00-18:00}")  # noqa: TRY004
    problems = _Problems()
    windows: dict[Weekday, tuple[Window, ...]] = {}
    given: dict[Weekday, str] = {}
    holidays: frozenset[date] = frozenset()
    key: str
    for key, value in raw.items():
        if key == "holidays":
            holidays = _holidays(value, problems)
            continue
        days = problems.read((key,), _days, key) or ()
        spans = _spans(key, value, problems)
        if twice := [f"{day} (under {given[day]})" for day in days if day in given]:
            problems.note((key,), f"days that already have hours: {', '.join(twice)}")
        given.update({day: str(key) for day in days})
        windows.update(dict.fromkeys(days, spans))
    if not set(raw) - {"holidays"}:
        problems.note((), "names no day on which people may be called")
    problems.done()
    return Hours(MappingProxyType(windows), holidays)


def _days(raw: object) -> tuple[Weekday, ...]:
    """A range may go past Sunday, as ``fri-mon`` does."""
    parts = [part.strip() for part in re.split("[-–]", _text(raw).lower())]
    if len(parts) > 2 or not set(parts) <= set(_DAYS):
        known = _DAYS if len(parts) > 1 else (*_DAYS, "holidays")
        unknown = next((part for part in parts if part not in _DAYS), "")
        hint = _did_you_mean(unknown, known)
        raise ValueError(f"is not a day or a range of days such as mon-fri{hint}")
    first, last = _DAYS.index(parts[0]), _DAYS.index(parts[-1])
    week = tuple(Weekday)
    return tuple(week[(first + step) % 7] for step in range((last - first) % 7 + 1))


def _spans(key: str, raw: object, problems: _Problems) -> tuple[Window, ...]:
    listed = isinstance(raw, list)
    items = raw if isinstance(raw, list) else [raw]
    if not items:
        problems.note((key,), "is empty; a day without calls is left out")
    read: list[tuple[int, int]] = []
    for index, item in enumerate(items):
        at: FieldPath = (key, index) if listed else (key,)
        span = problems.read(at, _span, item)
        if span is None:
            continue
        if any(start < span[1] and span[0] < end for start, end in read):
            problems.note(at, "overlaps another window of the day")
        read.append(span)
    return tuple(Window(_clock(start), _clock(end)) for start, end in sorted(read))


def _span(raw: object) -> tuple[int, int]:
    """Minutes since midnight."""
    found = re.fullmatch(
        r"([0-9]{1,2}):([0-9]{2})\s*[-–]\s*([0-9]{1,2}):([0-9]{2})",
        raw.strip() if isinstance(raw, str) else "",
    )
    if not found:
        raise ValueError("must be hours such as 09:00-18:00")
    start_h, start_min, end_h, end_min = (int(part) for part in found.groups())
    start, end = start_h * 60 + start_min, end_h * 60 + end_min
    if max(start_min, end_min) > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ValueError("is not a time of day: from 00:00 on, until 24:00 at the latest")
    if end <= start:
        hint = "; midnight at the end of a day is 24:00" if end == 0 else ""
        raise ValueError(f"ends before it starts{hint}")
    return start, end


def _clock(minutes: int) -> time:
    return time(minutes // 60 % 24, minutes % 60)


def _holidays(raw: object, problems: _Problems) -> frozenset[date]:
    if not isinstance(raw, list):
        problems.note(("holidays",), "must be a list of dates such as [2026-12-25]", raw)
        return frozenset()
    days: set[date] = set()
    for index, item in enumerate(raw):
        at = ("holidays", index)
        if (day := problems.read(at, _date, item)) in days:
            problems.note(at, "is already listed")
        elif day is not None:
            days.add(day)
    return frozenset(days)


def _over_defaults(
    said: Mapping[LineOutcome, timedelta | None],
) -> Mapping[LineOutcome, timedelta]:
    """What the file does not mention keeps its default; whoever wants none writes ``off``."""
    merged = {**DEFAULT_SPACING, **said}
    return MappingProxyType({key: wait for key, wait in merged.items() if wait is not None})


# -- the shape of the file ----------------------------------------------------------------------

_Text = Annotated[str, Field(min_length=1), AfterValidator(_clean)]
_Count = Annotated[int, Field(ge=1, le=10_000)]
_Limit = Annotated[float | None, PlainValidator(_limit)]
_Date = Annotated[date, PlainValidator(_date)]
# As an agent's name is: it is typed on the command line.
_Name = Annotated[
    str,
    PlainValidator(
        _matching(
            r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
            "must be letters, digits, '.', '_' or '-', at most 64",
        )
    ),
]
# It becomes a parameter of a tool.
_OutcomeName = Annotated[
    str,
    PlainValidator(
        _matching(r"[A-Za-z_]\w{0,63}", "must be letters, digits and '_', not a digit first")
    ),
]
# ITU-T E.164: "+", at most 15 digits, none of which leads with 0.
_Number = Annotated[
    str,
    PlainValidator(
        _matching(r"\+[1-9]\d{6,14}", "must be a number in E.164 form, such as +15550100001")
    ),
]


class _ColumnsShape(TypedDict, total=False):
    number: _Text
    name: _Text
    zone: _Text
    key: _Text
    consent: _Text
    variables: Annotated[
        dict[Annotated[str, PlainValidator(_variable)], _Text], AfterValidator(MappingProxyType)
    ]


class _ContactsShape(TypedDict, total=False):
    file: Required[_Text]
    delimiter: Annotated[str, PlainValidator(_delimiter)]
    encoding: Annotated[str, PlainValidator(_encoding)]
    region: Annotated[str, PlainValidator(_region)]
    columns: Annotated[_ColumnsShape, AfterValidator(lambda said: Columns(**said))]


class _AttemptsShape(TypedDict, total=False):
    most: Annotated[int, Field(ge=1, le=100)]
    per_day: Annotated[int, Field(ge=1, le=24)]
    spacing: Annotated[
        dict[
            Annotated[LineOutcome, PlainValidator(_tried_again)],
            Annotated[timedelta | None, PlainValidator(_wait)],
        ],
        AfterValidator(_over_defaults),
    ]


class _PaceShape(TypedDict, total=False):
    calls_per_second: Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
    calls_at_once: _Count
    ramp: Annotated[tuple[tuple[timedelta, float], ...], PlainValidator(_ramp)]


class _BrakeShape(TypedDict, total=False):
    calls: _Count
    at_least: _Count
    failed: _Limit
    abandoned: _Limit
    blocked: _Limit
    opted_out: _Limit


class _VoicemailShape(TypedDict, total=False):
    policy: VoicemailPolicy
    message: _Text


class _OutcomeShape(TypedDict, total=False):
    type: Required[Literal["text", "integer", "number", "boolean", "choice", "date"]]
    description: _Text
    required: bool
    choices: tuple[_Text, ...]


class _WebhookShape(TypedDict, total=False):
    url: Required[Annotated[str, PlainValidator(_url)]]
    secret_env: Annotated[
        str,
        PlainValidator(_matching(r"[A-Za-z_]\w*", "must be the name of an environment variable")),
    ]


# The shapes inside take this over from the one around them.
@with_config(ConfigDict(extra="forbid", str_strip_whitespace=True))
class _FileShape(TypedDict, total=False):
    name: Required[_Name]
    agent: Required[_Text]
    callers: Required[tuple[_Number, ...]]
    contacts: Required[Annotated[_ContactsShape, AfterValidator(lambda said: Source(**said))]]
    hours: Required[Annotated[Hours, PlainValidator(_hours)]]
    attempts: Annotated[_AttemptsShape, AfterValidator(lambda said: Attempts(**said))]
    pace: Annotated[_PaceShape, AfterValidator(lambda said: Pace(**said))]
    brake: Annotated[_BrakeShape, AfterValidator(lambda said: BrakeLimits(**said))]
    voicemail: _VoicemailShape
    ends_on: _Date
    consent_required: bool
    disclosure: _Text
    # Twilio's Timeout is 600 s at most (Calls API); less than 15 s is a call nobody can reach
    # (16 CFR 310.4(b)(4)(ii): at least 15 seconds or four rings).
    ring_s: Annotated[float, Field(ge=15, le=600, allow_inf_nan=False)]
    outcome: Annotated[
        dict[_OutcomeName, Annotated[_OutcomeShape, AfterValidator(lambda s: OutcomeField(**s))]],
        AfterValidator(MappingProxyType),
    ]
    webhook: Annotated[_WebhookShape, AfterValidator(lambda said: Webhook(**said))]


_ADAPTER: TypeAdapter[_FileShape] = TypeAdapter(_FileShape)


# -- the whole file -----------------------------------------------------------------------------


def load_campaign(path: str | Path) -> Campaign:
    """Read and check a campaign's file.

    The paths of the agent and the contacts are relative to the file, and absolute in the result.

    Raises:
        AgentSpecError: every problem there is, in file order. A required field that is missing is
            reported at the line of the mapping around it.
    """
    source = read_yaml(Path(path))
    folder = Path(path).absolute().parent
    issues = list(source.issues)
    issues += [source.issue(at, text) for at, text in _cross_checks(source.data, folder)]
    read: _FileShape | None = None
    try:
        read = _ADAPTER.validate_python(source.data)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            kind, unread = problem["type"], problem["input"] is None
            at = _place(source, problem["loc"], missing=kind == "missing")
            if unread and any(issue.field == field_name(at) for issue in source.issues):
                # The reader has said why there is no value.
                continue
            issues.append(source.issue(at, "has no value" if unread else _message(at, problem)))
    if issues or read is None:
        raise AgentSpecError(sorted(issues, key=lambda issue: issue.line or 0))
    return _campaign(read, folder)


def _campaign(read: _FileShape, folder: Path) -> Campaign:
    said: dict[str, Any] = dict(read)
    contacts: Source = said.pop("contacts")
    voicemail = said.pop("voicemail", {})
    if "policy" in voicemail:
        said["voicemail"] = voicemail["policy"]
    if "message" in voicemail:
        said["voicemail_message"] = voicemail["message"]
    said["agent"] = str(folder / said["agent"])
    said["source"] = dataclasses.replace(contacts, file=str(folder / contacts.file))
    return Campaign(**said)


def _place(source: YamlSource, loc: FieldPath, *, missing: bool) -> FieldPath:
    """Where the file has the problem: pydantic also names its own steps, such as ``[key]``."""
    at = loc
    while at and not missing and at not in source.lines:
        at = at[:-1]
    return at


def _message(at: FieldPath, problem: ErrorDetails) -> str:
    kind, text = problem["type"], problem["msg"].replace("Input should be", "must be")
    if kind == "extra_forbidden":
        return f"unknown field{_did_you_mean(str(at[-1]), _field_names(at[:-1]))}"
    if kind in ("enum", "literal_error"):
        return text + _did_you_mean(str(problem["input"]), re.findall(r"'(\w+)'", text))
    fixed = {
        "missing": "is required",
        "dict_type": "must be a mapping of fields",
        "tuple_type": "must be a list",
        "string_type": "must be text",
        "string_too_short": "is empty",
        "int_parsing": "must be a whole number",
        "int_parsing_size": "must be a whole number of a few digits",
        "int_type": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "bool_parsing": "must be yes or no",
        "bool_type": "must be yes or no",
    }
    return fixed.get(kind, text.removeprefix("Value error, "))


def _field_names(path: FieldPath) -> list[str]:
    kind: Any = _FileShape
    for part in path:
        kind = get_type_hints(kind)[str(part)] if is_typeddict(kind) else get_args(kind)[-1]
    return list(get_type_hints(kind))


def _did_you_mean(word: str, words: Sequence[str]) -> str:
    near = difflib.get_close_matches(word.lower(), words, n=1)
    return f"; did you mean {near[0]}?" if near else ""


# -- rules over several fields, on raw data so that one bad field does not hide them -------------


def _cross_checks(data: Mapping[str, Any], folder: Path) -> Iterator[tuple[FieldPath, str]]:
    yield from _files(data, folder)
    yield from _list(data.get("callers"), ("callers",))
    yield from _voicemail(_mapping(data.get("voicemail")))
    yield from _brake(_mapping(data.get("brake")))
    for name, said in _mapping(data.get("outcome")).items():
        yield from _choices(_mapping(said), ("outcome", name))


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _files(data: Mapping[str, Any], folder: Path) -> Iterator[tuple[FieldPath, str]]:
    paths: dict[FieldPath, object] = {
        ("agent",): data.get("agent"),
        ("contacts", "file"): _mapping(data.get("contacts")).get("file"),
    }
    for at, text in paths.items():
        if not isinstance(text, str) or not text.strip():
            continue
        path = folder / text.strip()
        try:
            found = path.is_file()
        except OSError as error:
            yield at, f"cannot be read: {error.strerror or error}"
        else:
            if not found:
                yield at, f"there is no file {path}"


def _list(raw: object, at: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    """Not ``Field(min_length=1)``: pydantic counts the items that are good."""
    items = raw if isinstance(raw, list) else []
    if raw == []:
        yield at, "is empty"
    for index, item in enumerate(items):
        if item is not None and item in items[:index]:
            yield (*at, index), "is already listed"


def _voicemail(said: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    policy = said.get("policy", VoicemailPolicy.HANG_UP.value)
    if policy not in list(VoicemailPolicy):
        return
    leaves = policy == VoicemailPolicy.LEAVE_MESSAGE
    if leaves and "message" not in said:
        yield ("voicemail", "message"), "is required with policy leave_message"
    if not leaves and "message" in said:
        yield ("voicemail", "message"), f"is never said: the policy is {policy}, not leave_message"


def _brake(said: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    default = BrakeLimits()
    try:
        calls = int(said.get("calls", default.calls))
        at_least = int(said.get("at_least", default.at_least))
    except (TypeError, ValueError):
        return
    if at_least > calls:
        where = "at_least" if "at_least" in said else "calls"
        yield ("brake", where), f"at_least ({at_least}) is more than calls ({calls}): it never acts"


def _choices(said: Mapping[str, Any], at: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    if said.get("type") == "choice" and "choices" not in said:
        yield (*at, "choices"), "is required with type choice"
    if "type" in said and said["type"] != "choice" and "choices" in said:
        yield (*at, "choices"), "needs type choice"
    yield from _list(said.get("choices"), (*at, "choices"))
