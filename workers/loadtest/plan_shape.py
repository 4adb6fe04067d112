"""The shape of a plan's file: its fields, what each holds, and within which bounds.

The ``TypedDict``s have no defaults: a field that the file leaves out keeps the plan's, which is
written nowhere else. Each ``read_`` takes what YAML made of a field and raises ``ValueError`` with
the words for the operator, without the field's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, with_config

# Pydantic reads typing's own TypedDict from Python 3.12 on only; it brings this package along.
from typing_extensions import TypedDict

from agent.yaml_source import did_you_mean
from workers.loadtest.plan import (
    COUNTED,
    SHARES,
    Arrivals,
    Faults,
    LineTrouble,
    LiveSide,
    Metric,
    Persona,
    Profile,
    Promise,
    Statistic,
    Target,
)

PromiseName: TypeAlias = tuple[Metric, Statistic | None]

_UNITS_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0}
_NUMBER: Final = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
# A worker ends a call after four hours at most (agent.spec: Twilio's own bound, Calls API).
LONGEST_CALL_S: Final = 14_000.0
LONGEST_S: Final = 7 * 86_400.0


def read_seconds(raw: object) -> float:
    """A length of time: ``90``, ``90s``, ``10m`` or ``2h``, in seconds."""
    found = re.fullmatch(_NUMBER + r" ?([smh]?)", _text(raw))
    if not found:
        raise ValueError("must be seconds, or a duration such as 90s, 10m or 2h")
    return float(found[1]) * _UNITS_S[found[2]]


def read_share(raw: object) -> float:
    """A share: ``5%`` or ``0.05``."""
    found = re.fullmatch(_NUMBER + r" ?(%?)", _text(raw))
    if not found:
        raise ValueError("must be a share such as 5% or 0.05")
    share = float(found[1]) / (100 if found[2] else 1)
    if share > 1:
        raise ValueError("must be at most 100%, which is 1")
    return share


def read_promise_name(raw: object) -> PromiseName:
    """What is promised something about: ``gap_ms.max``; ``dropped`` and shares stand alone."""
    name, _, of = _text(raw).partition(".")
    if name not in list(Metric):
        raise ValueError(f"is nothing that is measured{did_you_mean(name, list(Metric))}")
    metric = Metric(name)
    if metric in COUNTED | SHARES:
        if of:
            raise ValueError(f"is one figure of the whole test: write {name}")
        return metric, None
    known = ", ".join(f"{name}.{statistic}" for statistic in Statistic)
    if not of:
        raise ValueError(f"needs a statistic: {known}")
    if of not in list(Statistic):
        raise ValueError(f"is none of {known}")
    return metric, Statistic(of)


def read_url(raw: object) -> str:
    """An http or https URL; what is tested may be on this machine, or in a laboratory."""
    text = _text(raw)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if not host or parts.scheme not in ("http", "https") or re.search(r"\s", text):
        raise ValueError("must be a URL such as https://bot.example.com/voice")
    return text


def read_number(raw: object) -> str:
    """A phone number. ITU-T E.164: "+", at most 15 digits, none of which leads with 0."""
    text = _text(raw)
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", text):
        raise ValueError("must be a number in E.164 form, such as +15550100001")
    return text


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("must be a single value")  # noqa: TRY004 - pydantic reports ValueErrors
    return raw.strip()


def _seconds(least: float, most: float, *, or_never: bool = False) -> Callable[[object], float]:
    def read(raw: object) -> float:
        seconds = read_seconds(raw)
        if or_never and seconds == 0:
            return seconds
        if not least <= seconds <= most:
            never = ", or 0: never" if or_never else ""
            raise ValueError(f"must be from {least:g} to {most:g} seconds{never}")
        return seconds

    return read


def _promises(said: Mapping[PromiseName, float]) -> tuple[Promise, ...]:
    return tuple(Promise(*name, limit) for name, limit in said.items())


_Count = Annotated[int, Field(ge=1, le=100_000)]
_Held = Annotated[float, PlainValidator(_seconds(1, LONGEST_S))]
_Every = Annotated[float, PlainValidator(_seconds(1, LONGEST_S, or_never=True))]
_Weight = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_Limit = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _TargetShape(TypedDict, total=False):
    voice_url: Annotated[str, PlainValidator(read_url)]
    to: Annotated[str, PlainValidator(read_number)]
    processes: Annotated[int, Field(ge=1, le=256)]
    agent: Annotated[str, Field(min_length=1)]


class _ArrivalsShape(TypedDict, total=False):
    profile: Profile
    calls: _Count
    hold_s: _Held
    rise_s: Annotated[float, PlainValidator(_seconds(0, LONGEST_S))]
    steps: Annotated[int, Field(ge=1, le=1_000)]
    base: Annotated[int, Field(ge=0, le=100_000)]
    spike_s: _Held
    calls_per_second: Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]


class _FaultsShape(TypedDict, total=False):
    resets_every_s: _Every
    breaks_every_s: _Every
    kills_every_s: _Every


# The shapes inside take this over from the one around them.
@with_config(ConfigDict(extra="forbid", str_strip_whitespace=True))
class PlanShape(TypedDict, total=False):
    """The whole file; a field that it leaves out is not a key."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    target: Annotated[_TargetShape, AfterValidator(lambda said: Target(**said))]
    live: LiveSide
    arrivals: Annotated[_ArrivalsShape, AfterValidator(lambda said: Arrivals(**said))]
    call_s: Annotated[float, PlainValidator(_seconds(1, LONGEST_CALL_S))]
    personas: Annotated[dict[Persona, _Weight], AfterValidator(MappingProxyType)]
    lines: Annotated[
        dict[LineTrouble, Annotated[float, PlainValidator(read_share)]],
        AfterValidator(MappingProxyType),
    ]
    faults: Annotated[_FaultsShape, AfterValidator(lambda said: Faults(**said))]
    promises: Annotated[
        dict[Annotated[PromiseName, PlainValidator(read_promise_name)], _Limit],
        AfterValidator(_promises),
    ]
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
