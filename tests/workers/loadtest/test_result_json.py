"""What was written is read again; anything else is refused in a sentence."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.loadtest.measured_samples import answered, call, calls, result
from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import CallMeasured, FramesCounted, OwnSlip
from workers.loadtest.plan import Arrivals, LineTrouble, Persona, Plan, Profile
from workers.loadtest.result import Generator, LoadResult, Machine
from workers.loadtest.result_json import encode_result, read_result, write_result
from workers.loadtest.sums import sums_of
from workers.loadtest.verdicts import judge

MACHINE = Machine("Any", 2, "3.11.9", "0.1.0")
GENERATORS = (
    Generator("callers 1 of 2 on host-a", MACHINE, 7, OwnSlip(900, 0.4, 2.0, 0.0)),
    Generator("callers 2 of 2 on host-b", MACHINE, 0, OwnSlip(0, 0.0, 0.0, 0.0), "It is gone."),
)


def written(one: LoadResult) -> bytes:
    sums = sums_of(one.calls)
    return write_result(one, sums, judge(one.plan, sums))


@settings(max_examples=40)
@given(st.lists(calls, max_size=4))
def test_written_and_read_again(measured: list[CallMeasured]) -> None:
    """Whatever calls there were."""
    plan = Plan(
        arrivals=Arrivals(Profile.SPIKE, calls=7),
        personas=MappingProxyType({Persona.KEYS: 2.0}),
        lines=MappingProxyType({LineTrouble.JITTER: 0.5}),
    )
    whole = result(*measured, plan=plan, broken_off=True, kills_s=(3.0,), generators=GENERATORS)
    assert read_result(written(whole), name="new.json") == whole


def test_what_ci_reads() -> None:
    """Whether it passed, why, and the figures, beside the whole."""
    one = result(call(answers=answered(45.0)))
    sums = sums_of(one.calls)
    found = encode_result(one, sums, judge(one.plan, sums))
    assert found["evercall_loadtest"] == 2
    assert found["passed"] is False
    assert found["verdicts"][0] == {
        "promise": "added_delay_ms.p95",
        "limit": 30.0,
        "found": 45.0,
        "kept": False,
    }
    assert found["figures"]["delays"]["added_delay_ms"]["p95"] == 45.0


@pytest.mark.parametrize("broken_off", [False, True])
def test_ci_reads_what_the_exit_code_says(broken_off: bool) -> None:
    """A test that was broken off has not passed, whatever held until then."""
    frames = FramesCounted(sent=1000)
    one = result(call(answers=answered(5.0), caller_frames=frames), broken_off=broken_off)
    sums = sums_of(one.calls)
    found = encode_result(one, sums, judge(one.plan, sums))
    assert found["passed"] is not broken_off


def damaged(**changes: Any) -> bytes:
    data = orjson.loads(written(result(call())))
    for place, value in changes.items():
        *path, last = place.split("__")
        target = data
        for step in path:
            target = target[int(step) if step.isdigit() else step]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return orjson.dumps(data)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", r"old.json is no JSON: .*"),
        (b"[1]", r"old.json is not the result of a load test\."),
        (b'{"name": "x"}', r"old.json is not the result of a load test\."),
        (damaged(evercall_loadtest=1), r"old.json is a result of version 1; this one reads 2\."),
        (damaged(result=None), r"old.json is damaged: result: .*"),
        (damaged(result__calls__0__ending="asleep"), r"old.json is damaged: .*calls\.0\.ending.*"),
        (damaged(result__calls__0__mood=1), r".*calls\.0\.mood: is not known\."),
        (damaged(result__calls__0__reason=None), r".*calls\.0\.reason: is missing\."),
        (damaged(result__took_s=None), r".*took_s.*"),
    ],
)
def test_anything_else(text: bytes, sentence: str) -> None:
    """It is one sentence, and names the place where there is one."""
    with pytest.raises(LoadTestError, match=f"^{sentence}$"):
        read_result(text, name="old.json")
