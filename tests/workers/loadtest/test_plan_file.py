"""Plans of load tests read from YAML: what is accepted, and how each mistake is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import AgentSpecError, SpecIssue
from workers.loadtest import plan_file
from workers.loadtest.plan import (
    DEFAULT_PROMISES,
    TWIN_ONLY,
    Arrivals,
    Faults,
    LineTrouble,
    LiveSide,
    Metric,
    Persona,
    Plan,
    Profile,
    Promise,
    Statistic,
    Target,
)
from workers.loadtest.plan_file import load_plan, usual_promises

Load = Callable[[str], Plan]
Issues = Callable[[str], list[tuple[int | None, str, str]]]

WHOLE = """\
name: before the weekend
target:
  to: "+15550100009"
  processes: 2
  agent: agent.yaml
live: twin
arrivals:
  profile: steps
  calls: 40
  steps: 4
  hold_s: 2m
  calls_per_second: 5
call_s: 90s
personas: {talk: 6, interrupt: 3, silent: 0.5}
lines:
  noisy: 10%
  jitter: 0.05
faults: {resets_every_s: 45, breaks_every_s: 10m, kills_every_s: 1h}
promises:
  added_delay_ms.p95: 30
  barge_in_ms.max: 400.5
  caller_frames_lost: 0.5
  dropped: 0
seed: 12
"""
FIELDS = (
    *("name", "target", "voice_url", "agent", "live", "arrivals", "profile", "calls", "hold_s"),
    *("steps", "base", "spike_s", "calls_per_second", "call_s", "personas", "talk", "lines"),
    *("noisy", "faults", "kills_every_s", "promises", "gap_ms.max", "dropped", "seed"),
)
VALUES = ("1", "-1", "0", "1e999", "nan", "5%", "10m", "spike", "twin", "~", "[]", "{}", "''", "+1")


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "agent.yaml").write_text("name: agent\n")

    def read(text: str) -> Plan:
        path = tmp_path / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        return load_plan(path)

    return read


@pytest.fixture
def issues(load: Load, tmp_path: Path) -> Issues:
    def read(text: str) -> list[tuple[int | None, str, str]]:
        with pytest.raises(AgentSpecError) as raised:
            load(text)
        assert all(issue.file == str(tmp_path / "plan.yaml") for issue in raised.value.issues)
        return [(issue.line, issue.field, issue.message) for issue in raised.value.issues]

    return read


def test_what_a_file_leaves_out_is_the_plans_own(load: Load) -> None:
    """One line makes a plan."""
    assert load("name: load test\n") == Plan()
    assert load("arrivals: {calls: 3}\n") == Plan(arrivals=Arrivals(calls=3))


def test_the_file_that_explains_every_field_is_the_usual_plan() -> None:
    """What stands in it is what holds where a file says nothing, and it names every field."""
    file = Path(plan_file.__file__).parent / "data" / "loadtest-plan.yaml"
    assert load_plan(file) == Plan()
    text = file.read_text(encoding="utf-8")
    told = [*Persona, *LineTrouble, *Profile, *Metric, *Statistic]
    for shape in (Plan, Target, Arrivals, Faults):
        told += [field.name for field in dataclasses.fields(shape)]
    assert [name for name in told if name not in text] == []


def test_every_field_is_read(load: Load, tmp_path: Path) -> None:
    """Durations in their units, shares in percent, promises by name; paths from the file on."""
    assert load(WHOLE) == Plan(
        name="before the weekend",
        target=Target(to="+15550100009", processes=2, agent=str(tmp_path / "agent.yaml")),
        live=LiveSide.TWIN,
        arrivals=Arrivals(Profile.STEPS, calls=40, steps=4, hold_s=120.0, calls_per_second=5.0),
        call_s=90.0,
        personas={Persona.TALK: 6.0, Persona.INTERRUPT: 3.0, Persona.SILENT: 0.5},
        lines={LineTrouble.NOISY: 0.1, LineTrouble.JITTER: 0.05},
        faults=Faults(45.0, 600.0, 3600.0),
        promises=(
            Promise(Metric.ADDED_DELAY_MS, Statistic.P95, 30.0),
            Promise(Metric.BARGE_IN_MS, Statistic.MAX, 400.5),
            Promise(Metric.CALLER_FRAMES_LOST, None, 0.5),
            Promise(Metric.DROPPED, None, 0.0),
        ),
        seed=12,
    )


def test_a_promise_is_written_as_reports_write_it(load: Load) -> None:
    """The usual ones can be copied out of a report."""
    written = "".join(f"  {one.name}: {one.limit}\n" for one in DEFAULT_PROMISES)
    assert load(f"promises:\n{written}").promises == DEFAULT_PROMISES


def test_the_service_is_promised_what_can_be_told_of_it(load: Load) -> None:
    """Of the usual promises, those that need numbered frames fall away."""
    promises = load("live: service\n").promises
    assert promises
    assert not any(one.metric in TWIN_ONLY for one in promises)


@pytest.mark.parametrize(
    ("said", "agent", "untold"),
    [
        ("personas: {silent: 1, keys: 2, talk: 0}", "", {"added_delay_ms"}),
        ("personas: {silent: 1, talk: 0.1}", "", set()),
        ("target: {agent: own.yaml}", "Be brief.", {"added_delay_ms", "caller_frames_lost"}),
        ("target: {agent: own.yaml}", "They call from {{ caller }}.", set()),
    ],
)
def test_what_nothing_will_be_measured_of_is_not_promised(
    load: Load, tmp_path: Path, said: str, agent: str, untold: set[str]
) -> None:
    """Where the file itself promises it, it is not kept, and the report says why."""
    (tmp_path / "own.yaml").write_text(f"system_instruction: '{agent}'\n", encoding="utf-8")
    promised = {str(one.metric) for one in load(f"{said}\n").promises}
    assert {str(one.metric) for one in DEFAULT_PROMISES} - promised == untold


def test_a_worker_that_runs_already_hears_words(load: Load) -> None:
    """What its model is, nobody here knows: it is spoken to as the service is."""
    plan = load("target: {voice_url: 'https://a.example/voice'}\n")
    assert (plan.live, plan.promises) == (LiveSide.SERVICE, usual_promises(LiveSide.SERVICE))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2 h", 7200.0)],
)
def test_durations_have_units(load: Load, written: str, seconds: float) -> None:
    """Plain seconds, or s, m and h."""
    assert load(f"call_s: {written}\n").call_s == seconds


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        ("nmae: x", 1, "nmae", "unknown field; did you mean name?"),
        ("arrivals:\n  cals: 3", 2, "arrivals.cals", "unknown field; did you mean calls?"),
        ("faults:\n  kills: 3", 2, "faults.kills", "unknown field"),
        ("name:", 1, "name", "has no value"),
        ("name: ''", 1, "name", "is empty"),
        ("live: twins", 1, "live", "must be 'twin' or 'service'; did you mean twin?"),
        ("arrivals: 12", 1, "arrivals", "must be a mapping of fields"),
        ("arrivals: {calls: many}", 1, "arrivals.calls", "must be a whole number"),
        ("arrivals: {calls: 0}", 1, "arrivals.calls", "must be greater than or equal to 1"),
        ("arrivals: {hold_s: 1d}", 1, "arrivals.hold_s", "such as 90s, 10m or 2h"),
        ("arrivals: {hold_s: 0}", 1, "arrivals.hold_s", "must be from 1 to 604800 seconds"),
        ("call_s: 5h", 1, "call_s", "must be from 1 to 14000 seconds"),
        ("faults: {breaks_every_s: 0.5}", 1, "faults.breaks_every_s", "seconds, or 0: never"),
        ("personas:\n  talk: 1\n  tlak: 1", 3, "personas.tlak", "did you mean talk?"),
        ("personas: {talk: -1}", 1, "personas.talk", "greater than or equal to 0"),
        ("lines: {noisy: 101%}", 1, "lines.noisy", "must be at most 100%, which is 1"),
        ("lines: {noisy: some}", 1, "lines.noisy", "must be a share such as 5% or 0.05"),
        ("target: {to: '5550100'}", 1, "target.to", "in E.164 form"),
        ("target: {voice_url: bot/voice}", 1, "target.voice_url", "must be a URL such as"),
        ("target: {agent: nowhere.yaml}", 1, "target.agent", "there is no file"),
        ("promises:\n  gap_m.max: 1", 2, "promises.gap_m.max", "did you mean gap_ms?"),
        ("promises: {gap_ms: 1}", 1, "promises.gap_ms", "needs a statistic: gap_ms.p50"),
        ("promises: {gap_ms.p90: 1}", 1, "promises.gap_ms.p90", "is none of gap_ms.p50"),
        ("promises: {dropped.max: 1}", 1, "promises.dropped.max", "write dropped"),
        ("promises: {dropped: few}", 1, "promises.dropped", "must be a number"),
        ("promises: {dropped: -1}", 1, "promises.dropped", "greater than or equal to 0"),
        ("seed: 1.5", 1, "seed", "must be a whole number"),
    ],
)
def test_a_mistake_names_its_line_and_field(
    issues: Issues, text: str, line: int, field: str, message: str
) -> None:
    """In words for the operator."""
    ((found_line, found_field, found_message),) = issues(text)
    assert (found_line, found_field) == (line, field)
    assert message in found_message


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        (
            "target: {voice_url: 'https://a.example/voice'}\nfaults: {kills_every_s: 30}",
            "faults.kills_every_s",
            "needs a worker of our own",
        ),
        (
            "target: {voice_url: 'https://a.example/voice', processes: 2}",
            "target.processes",
            "needs a worker of our own",
        ),
        (
            "target: {voice_url: 'https://a.example/voice'}\npromises: {reset_gap_ms.max: 1}",
            "promises.reset_gap_ms.max",
            "needs a worker of our own",
        ),
        (
            "live: service\npromises: {added_delay_ms.p95: 30}",
            "promises.added_delay_ms.p95",
            "only be told of the simulated Live side",
        ),
        ("live: service\nfaults: {resets_every_s: 30}", "faults.resets_every_s", "is not there"),
        (
            "target: {voice_url: 'https://a.example/voice'}\npromises: {caller_frames_lost: 0}",
            "promises.caller_frames_lost",
            "only be told of the simulated Live side",
        ),
        (
            "target: {voice_url: 'https://a.example/voice'}\nlive: twin",
            "live",
            "a Live side of its own",
        ),
        ("personas: {}", "personas", "nobody calls"),
        ("personas: {talk: 0, keys: 0.0}", "personas", "nobody calls"),
        ("promises: {}", "promises", "is empty"),
        ("promises: {barge_in_ms.max: 1}", "promises.barge_in_ms.max", "nobody interrupts"),
        (
            "personas: {talk: 1, interrupt: 0.0}\npromises: {barge_in_ms.max: 1}",
            "promises.barge_in_ms.max",
            "nobody interrupts",
        ),
        ("faults: {kills_every_s: 30}", "faults.kills_every_s", "target.processes of at least 2"),
        (
            "target: {processes: 1}\nfaults: {kills_every_s: 30}",
            "faults.kills_every_s",
            "target.processes of at least 2",
        ),
        ("arrivals: {rise_s: 5, profile: soak}", "arrivals.rise_s", "is for profile ramp"),
        ("arrivals: {base: 1}", "arrivals.base", "is for profile spike, and this one is ramp"),
        ("arrivals: {profile: spike, calls: 5, base: 5}", "arrivals.base", "less than calls (5)"),
        ("arrivals: {profile: spike, calls: 1}", "arrivals.calls", "base (1) must be less"),
        (
            "arrivals: {profile: spike, spike_s: 1m, hold_s: 60}",
            "arrivals.spike_s",
            "spike_s (60) must be less than hold_s (60)",
        ),
        ("arrivals: {profile: steps, calls: 3}", "arrivals.calls", "steps (5) must not be more"),
        (
            "arrivals: {calls: 50, calls_per_second: 2}\ncall_s: 20",
            "arrivals.calls_per_second",
            "2 calls a second that last 20 s are never 50 at once",
        ),
        (
            "arrivals: {profile: soak, calls: 500, hold_s: 20}",
            "arrivals.calls",
            "10 calls a second are not 500 within 20 s",
        ),
    ],
)
def test_what_does_not_go_together_is_named(
    issues: Issues, text: str, field: str, message: str
) -> None:
    """Each by itself would be fine."""
    found = {at: said for _, at, said in issues(text)}
    assert message in found[field]


def test_all_mistakes_are_told_at_once_in_file_order(issues: Issues) -> None:
    """A bad field hides no other."""
    text = (
        "live: servce\narrivals:\n  calls: x\n  hold_s: 5y\n  base: 3\n"
        "personas: {talk: 0}\nseed: now\n"
    )
    assert [(line, field) for line, field, _ in issues(text)] == [
        (1, "live"),
        (3, "arrivals.calls"),
        (4, "arrivals.hold_s"),
        (5, "arrivals.base"),
        (6, "personas"),
        (7, "seed"),
    ]


def test_a_file_that_is_none_is_one_mistake(tmp_path: Path) -> None:
    """It is named without a line."""
    with pytest.raises(AgentSpecError) as raised:
        load_plan(tmp_path / "nothing.yaml")
    assert str(raised.value).endswith("nothing.yaml: cannot be read: No such file or directory")


@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), max_size=4),
    inner=st.dictionaries(
        st.sampled_from(FIELDS),
        st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), max_size=4),
        max_size=4,
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_makes_a_plan_or_named_mistakes(
    load: Load, fields: dict[str, str], inner: dict[str, dict[str, str]]
) -> None:
    """Nothing else is raised, and every mistake has a field and words."""
    lines = [f"{name}: {value}" for name, value in fields.items()]
    for name, under in inner.items():
        lines += [f"{name}:", *(f"  {key}: {value}" for key, value in under.items())]
    issues: tuple[SpecIssue, ...] = ()
    try:
        load("\n".join(lines) or "name: x")
    except AgentSpecError as error:
        issues = error.issues
    assert all(issue.field and issue.message and issue.line for issue in issues)
