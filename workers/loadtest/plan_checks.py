"""What does not go together in a plan's file.

On what YAML made of it, so that one bad field does not hide the others: a rule that cannot read one
of its fields says nothing, for the field's own check does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent.yaml_source import FieldPath
from workers.loadtest.arrivals import duration_s
from workers.loadtest.plan import TWIN_ONLY, Arrivals, LiveSide, Metric, Persona, Plan, Profile
from workers.loadtest.plan_shape import read_promise_name, read_seconds

Problems = Iterator[tuple[FieldPath, str]]

_OF_PROFILE: Final = {
    "rise_s": Profile.RAMP,
    "steps": Profile.STEPS,
    "base": Profile.SPIKE,
    "spike_s": Profile.SPIKE,
}
_NUMBERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("calls", "steps", "base"), int),
    **dict.fromkeys(("hold_s", "rise_s", "spike_s"), read_seconds),
    "calls_per_second": float,
}
_OURS_ALONE: Final = "needs a worker of our own, and target.voice_url names another"


def cross_checks(data: Mapping[str, Any], folder: Path) -> Problems:
    """Find what breaks a rule over several fields; paths are relative to ``folder``."""
    target, faults = _mapping(data.get("target")), _mapping(data.get("faults"))
    yield from _target(target, faults, folder)
    if data.get("live") == LiveSide.TWIN and "voice_url" in target:
        yield ("live",), "cannot be twin: a worker that runs already has a Live side of its own"
    if not is_twin(data):
        for name in ("resets_every_s", "breaks_every_s"):
            if _seconds(faults, name, 0.0):
                yield ("faults", name), "is done by the simulated Live side, which is not there"
    yield from _personas(data.get("personas"))
    yield from _promises(data)
    yield from _arrivals(_mapping(data.get("arrivals")), data)


def is_twin(data: Mapping[str, Any]) -> bool:
    """Whether the Live side is simulated: that of a worker that runs already is its own affair."""
    return data.get("live") != LiveSide.SERVICE and "voice_url" not in _mapping(data.get("target"))


def _target(target: Mapping[str, Any], faults: Mapping[str, Any], folder: Path) -> Problems:
    if "voice_url" in target:
        for name in ("processes", "agent"):
            if name in target:
                yield ("target", name), _OURS_ALONE
        if _seconds(faults, "kills_every_s", 0.0):
            yield ("faults", "kills_every_s"), _OURS_ALONE
        return
    if _seconds(faults, "kills_every_s", 0.0) and str(target.get("processes", "1")) == "1":
        yield ("faults", "kills_every_s"), "needs target.processes of at least 2"
    agent = target.get("agent")
    if not isinstance(agent, str) or not agent.strip():
        return
    path = folder / agent.strip()
    try:
        found = path.is_file()
    except (OSError, ValueError) as error:
        yield ("target", "agent"), f"cannot be read: {error}"
    else:
        if not found:
            yield ("target", "agent"), f"there is no file {path}"


def _personas(said: object) -> Problems:
    if not isinstance(said, dict):
        return
    try:
        nobody = not any(float(weight) for weight in said.values())
    except (TypeError, ValueError):
        return
    if nobody:
        yield ("personas",), "nobody calls: no weight is more than 0"


def _promises(data: Mapping[str, Any]) -> Problems:
    said = data.get("promises")
    if said == {}:
        yield ("promises",), "is empty: every test would be passed"
    interrupts = _weight(_mapping(data.get("personas")).get(Persona.INTERRUPT, "0"))
    for name in _mapping(said):
        try:
            metric, _ = read_promise_name(name)
        except ValueError:
            continue
        if metric in TWIN_ONLY and not is_twin(data):
            yield ("promises", name), "can only be told of the simulated Live side"
        if metric is Metric.RESET_GAP_MS and "voice_url" in _mapping(data.get("target")):
            yield ("promises", name), _OURS_ALONE
        if metric is Metric.BARGE_IN_MS and interrupts == 0:
            yield ("promises", name), "nobody interrupts: personas has no interrupt"


def _arrivals(said: Mapping[str, Any], data: Mapping[str, Any]) -> Problems:
    name = said.get("profile", Arrivals().profile.value)
    if name not in list(Profile):
        return
    profile = Profile(name)
    for field, of in _OF_PROFILE.items():
        if field in said and of is not profile:
            yield ("arrivals", field), f"is for profile {of}, and this one is {profile}"
    call_s = _seconds(data, "call_s", Plan().call_s)
    try:
        arrivals = Arrivals(
            profile, **{name: _NUMBERS[name](said[name]) for name in said.keys() & _NUMBERS}
        )
    except (TypeError, ValueError):
        return
    if profile is Profile.SPIKE:
        yield from _spike(arrivals, said)
    if profile is Profile.STEPS and arrivals.steps > arrivals.calls:
        at = _given(said, "steps", "calls")
        yield at, f"steps ({arrivals.steps}) must not be more than calls ({arrivals.calls})"
    if call_s is not None and arrivals.calls_per_second > 0:
        at = _given(said, "calls_per_second", "calls")
        yield from ((at, why) for why in too_slow(arrivals, call_s))


def _spike(arrivals: Arrivals, said: Mapping[str, Any]) -> Problems:
    base, calls = arrivals.base, arrivals.calls
    if base >= calls:
        at = _given(said, "base", "calls")
        yield at, f"base ({base}) must be less than calls ({calls}), those of the spike"
    spike_s, hold_s = arrivals.spike_s, arrivals.hold_s
    if spike_s >= hold_s:
        at = _given(said, "spike_s", "hold_s")
        yield at, f"spike_s ({spike_s:g}) must be less than hold_s ({hold_s:g}), the whole test"


def too_slow(arrivals: Arrivals, call_s: float) -> Iterator[str]:
    """Say why there can never be as many calls at once as are wanted: they end as others begin."""
    a_second, calls = arrivals.calls_per_second, arrivals.calls
    if a_second * call_s < calls:
        yield f"{a_second:g} calls a second that last {call_s:g} s are never {calls} at once"
    within_s = arrivals.spike_s if arrivals.profile is Profile.SPIKE else duration_s(arrivals)
    if a_second * within_s < calls:
        yield f"{a_second:g} calls a second are not {calls} within {within_s:g} s"


def _given(said: Mapping[str, Any], first: str, otherwise: str) -> FieldPath:
    """The field to name: the first if the file has it, for a default has no line."""
    return ("arrivals", first if first in said else otherwise)


def _weight(said: object) -> float | None:
    """Return a persona's weight; None where it cannot be read."""
    try:
        return float(str(said))
    except ValueError:
        return None


def _seconds(said: Mapping[str, Any], name: str, default: float) -> float | None:
    """Return how long a field says; None where it cannot be read."""
    try:
        return read_seconds(said[name]) if name in said else default
    except ValueError:
        return None


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}
