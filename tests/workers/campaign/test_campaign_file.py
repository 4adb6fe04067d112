"""Campaigns read from YAML: what is accepted, and how each mistake is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import AgentSpecError
from workers.campaign.campaign_file import load_campaign
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

NEEDED = {
    "name": "name: june-check-up",
    "agent": "agent: agent.yaml",
    "callers": 'callers: ["+15550100001"]',
    "contacts": "contacts: {file: people.csv}",
    "hours": "hours: {mon-fri: 09:00-18:00}",
}
GOOD = "\n".join(NEEDED.values()) + "\n"
# Some field of every mapping in the file.
INNER_FIELDS = (
    *("file", "columns", "variables", "mon", "holidays", "spacing", "busy", "ramp", "0m"),
    *("calls", "failed", "policy", "message", "type", "choices", "url"),
)
NINE_TO_SIX = (Window(time(9), time(18)),)

Load = Callable[[str], Campaign]
Issues = Callable[[str], list[tuple[int | None, str, str]]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "agent.yaml").write_text("name: agent\n")
    (tmp_path / "people.csv").write_text("number\n")

    def read(text: str) -> Campaign:
        path = tmp_path / "campaign.yaml"
        path.write_text(text, encoding="utf-8")
        return load_campaign(path)

    return read


@pytest.fixture
def issues(load: Load, tmp_path: Path) -> Issues:
    def read(text: str) -> list[tuple[int | None, str, str]]:
        with pytest.raises(AgentSpecError) as raised:
            load(text)
        assert all(issue.file == str(tmp_path / "campaign.yaml") for issue in raised.value.issues)
        return [(issue.line, issue.field, issue.message) for issue in raised.value.issues]

    return read


def instead(**lines: str) -> str:
    """The smallest good file with some of its lines replaced, in the same order."""
    return "\n".join({**NEEDED, **lines}.values()) + "\n"


def test_five_fields_make_a_campaign(load: Load, tmp_path: Path) -> None:
    """Everything else keeps the model's defaults."""
    assert load(GOOD) == Campaign(
        name="june-check-up",
        agent=str(tmp_path / "agent.yaml"),
        callers=("+15550100001",),
        source=Source(str(tmp_path / "people.csv")),
        hours=Hours(dict.fromkeys(list(Weekday)[:5], NINE_TO_SIX)),
    )


def test_every_field_is_read(load: Load, tmp_path: Path) -> None:
    """Each value arrives with its type, in the model's own words."""
    campaign = load("""\
name: june-check-up
agent: agent.yaml
callers: [+15550100001, +15550100002]
contacts:
  file: people.csv
  delimiter: tab
  encoding: cp1252
  region: de
  columns:
    number: Telefon
    name: Name
    zone: Zone
    key: Nr
    consent: Einwilligung
    variables: {car: Fahrzeug}
hours:
  mon-fri: 09:00-18:00
  sat: [13:00-24:00, 10:00-12:00]
  holidays: [2026-12-25]
attempts:
  most: 5
  per_day: 2
  spacing: {busy: 30s, no_answer: 2d, voicemail: off, fax: 5m}
pace:
  calls_per_second: 2.5
  calls_at_once: 40
  ramp: {0m: 10%, 5m: 50%, 1h: 100%}
brake: {calls: 40, at_least: 10, failed: 30%, abandoned: 2.5%, blocked: off, opted_out: 5 %}
voicemail: {policy: leave_message, message: Please call us back.}
ends_on: 2026-06-30
consent_required: no
disclosure: This is the automatic assistant of Smith's garage.
opt_out_key: "*"
ring_s: 30
outcome:
  booked: {type: boolean, description: Whether there is an appointment, required: yes}
  reason: {type: choice, choices: [price, time]}
webhook: {url: https://crm.example.com/calls, secret_env: CRM_KEY}
""")
    assert campaign == Campaign(
        name="june-check-up",
        agent=str(tmp_path / "agent.yaml"),
        callers=("+15550100001", "+15550100002"),
        source=Source(
            str(tmp_path / "people.csv"),
            Columns("Telefon", "Name", "Zone", "Nr", "Einwilligung", {"car": "Fahrzeug"}),
            "\t",
            "cp1252",
            "DE",
        ),
        hours=Hours(
            {
                **dict.fromkeys(list(Weekday)[:5], NINE_TO_SIX),
                Weekday.SATURDAY: (Window(time(10), time(12)), Window(time(13), time(0))),
            },
            frozenset({date(2026, 12, 25)}),
        ),
        attempts=Attempts(
            5,
            2,
            {
                LineOutcome.BUSY: timedelta(seconds=30),
                LineOutcome.NO_ANSWER: timedelta(days=2),
                LineOutcome.FAILED: DEFAULT_SPACING[LineOutcome.FAILED],
                LineOutcome.CANCELED: DEFAULT_SPACING[LineOutcome.CANCELED],
                LineOutcome.NOT_PLACED: DEFAULT_SPACING[LineOutcome.NOT_PLACED],
                LineOutcome.FAX: timedelta(minutes=5),
            },
        ),
        pace=Pace(
            2.5,
            40,
            ((timedelta(0), 0.1), (timedelta(minutes=5), 0.5), (timedelta(hours=1), 1.0)),
        ),
        brake=BrakeLimits(40, 10, 0.3, 0.025, None, 0.05),
        voicemail=VoicemailPolicy.LEAVE_MESSAGE,
        voicemail_message="Please call us back.",
        ends_on=date(2026, 6, 30),
        consent_required=False,
        disclosure="This is the automatic assistant of Smith's garage.",
        opt_out_key="*",
        ring_s=30.0,
        outcome={
            "booked": OutcomeField("boolean", "Whether there is an appointment", True),
            "reason": OutcomeField("choice", choices=("price", "time")),
        },
        webhook=Webhook("https://crm.example.com/calls", "CRM_KEY"),
    )


def test_every_problem_is_reported_at_once_in_file_order(issues: Issues) -> None:
    """One bad field hides no other: not in its section, not a rule over several fields."""
    text = """\
name: two words
agent: agent.yaml
callers: [+15550100001, 555, +15550100001]
contacts:
  file: nobody.csv
  columns: {variables: {the-car: Car}}
hours:
  mon-fri: 09:00-18:00
  fri: 18:00-09:00
  holidays: [2026-02-30]
brake:
  calls: 10
  failed: 30
attempts: {most: 0, spacing: {buzy: 5m, busy: soon}}
voicemail:
  policy: leave_message
colour: red
"""
    assert [(line, field) for line, field, _ in issues(text)] == [
        (1, "name"),
        (3, "callers[2]"),
        (3, "callers[1]"),
        (5, "contacts.file"),
        (6, "contacts.columns.variables.the-car"),
        (9, "hours.fri"),
        (9, "hours.fri"),
        (10, "hours.holidays[0]"),
        (12, "brake.calls"),
        (13, "brake.failed"),
        (14, "attempts.most"),
        (14, "attempts.spacing.buzy"),
        (14, "attempts.spacing.busy"),
        (15, "voicemail.message"),
        (17, "colour"),
    ]


@pytest.mark.parametrize("left_out", NEEDED)
def test_a_required_field_at_the_top_is_missed(issues: Issues, left_out: str) -> None:
    """The line is that of the enclosing mapping, the file's first."""
    text = "\n".join(line for name, line in NEEDED.items() if name != left_out)
    assert issues(text) == [(1, left_out, "is required")]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("outcome:\n  booked: {description: Yes or no}", "outcome.booked.type"),
        ("webhook:\n  secret_env: KEY", "webhook.url"),
    ],
)
def test_a_required_field_below_is_missed(issues: Issues, line: str, field: str) -> None:
    """The line is that of the mapping around it."""
    at = 7 if field.startswith("outcome") else 6
    assert issues(GOOD + line) == [(at, field, "is required")]


@pytest.mark.parametrize(
    ("line", "field", "meant"),
    [
        ("pase: {}", "pase", "pace"),
        ("pace: {call_at_once: 3}", "pace.call_at_once", "calls_at_once"),
        ("brake: {fail: 10%}", "brake.fail", "failed"),
        ("voicemail: {massage: Hi}", "voicemail.massage", "message"),
        ("outcome: {booked: {type: text, requird: yes}}", "outcome.booked.requird", "required"),
        ("webhook: {url: https://a.example, secret: KEY}", "webhook.secret", "secret_env"),
        ("attempts: {spacing: {no_anser: 4h}}", "attempts.spacing.no_anser", "no_answer"),
        ("voicemail: {policy: hangup}", "voicemail.policy", "hang_up"),
        ("outcome: {booked: {type: bool}}", "outcome.booked.type", "boolean"),
    ],
)
def test_a_near_miss_is_named(issues: Issues, line: str, field: str, meant: str) -> None:
    """An unknown word comes with the known one that looks like it."""
    [(at, where, message)] = issues(GOOD + line)
    assert (at, where) == (6, field)
    assert message.endswith(f"; did you mean {meant}?")


def test_unknown_columns_and_days_are_named(issues: Issues) -> None:
    """Suggestions come from the mapping that the field is in."""
    text = instead(
        contacts="contacts: {file: people.csv, columns: {numbr: Tel}}",
        hours="hours: {mon-fir: 09:00-18:00, holiday: [2026-12-25], sat: 10:00-12:00}",
    )
    assert [(field, message.rpartition("; ")[2]) for _, field, message in issues(text)] == [
        ("contacts.columns.numbr", "did you mean number?"),
        ("hours.mon-fir", "did you mean fri?"),
        ("hours.holiday", "did you mean holidays?"),
        # What is under it is not taken for hours alone: it is still read.
        ("hours.holiday[0]", "must be hours such as 09:00-18:00"),
    ]


@pytest.mark.parametrize(
    ("hours", "field", "message"),
    [
        ("{mon: 18:00-09:00}", "hours.mon", "ends before it starts"),
        ("{mon: 09:00-09:00}", "hours.mon", "ends before it starts"),
        ("{mon: 18:00-00:00}", "hours.mon", "24:00"),
        ("{mon: 24:00-24:00}", "hours.mon", "not a time of day"),
        ("{mon: 09:00-24:01}", "hours.mon", "not a time of day"),
        ("{mon: 09:60-12:00}", "hours.mon", "not a time of day"),
        ("{mon: nine to five}", "hours.mon", "09:00-18:00"),
        ("{mon: {from: nine}}", "hours.mon", "09:00-18:00"),
        ("{mon: [09:00-12:00, 11:59-13:00]}", "hours.mon[1]", "overlaps"),
        ("{mon: [10:00-11:00, 09:00-12:00]}", "hours.mon[1]", "overlaps"),
        ("{mon: []}", "hours.mon", "is empty"),
        ("{mon: }", "hours.mon", "has no value"),
        ("{mon-wed: 09:00-12:00, tue: 13:00-14:00}", "hours.tue", "tue (under mon-wed)"),
        ("{mon-wed-fri: 09:00-12:00}", "hours.mon-wed-fri", "range of days"),
        ("{holidays: [2026-12-25]}", "hours", "names no day"),
        ("{}", "hours", "names no day"),
        ("09:00-18:00", "hours", "must be a mapping"),
        ("", "hours", "has no value"),
        ("{mon: 09:00-12:00, holidays: 2026-12-25}", "hours.holidays", "must be a list"),
        ("{mon: 09:00-12:00, holidays: [2026-W01-1]}", "hours.holidays[0]", "must be a date"),
        (
            "{mon: 09:00-12:00, holidays: [2026-12-25, 2026-12-25]}",
            "hours.holidays[1]",
            "is already listed",
        ),
    ],
)
def test_hours_that_cannot_be(issues: Issues, hours: str, field: str, message: str) -> None:
    """Each is one problem, at its own field."""
    [(line, where, text)] = issues(instead(hours=f"hours: {hours}"))
    assert (line, where) == (5, field)
    assert message in text


def test_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    """It could be read; what the database keeps of it could not be written."""
    folder = tmp_path / b"caf\xe9".decode("utf-8", "surrogateescape")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes text only")
    (folder / "agent.yaml").write_text("name: agent")
    (folder / "people.csv").write_text("number\n")
    (folder / "campaign.yaml").write_text(instead())
    with pytest.raises(AgentSpecError) as caught:
        load_campaign(folder / "campaign.yaml")
    assert [issue.field for issue in caught.value.issues] == ["agent", "contacts.file"]
    assert all("not UTF-8" in issue.message for issue in caught.value.issues)


def test_windows_may_touch_and_weeks_wrap(load: Load) -> None:
    """One window may begin when another ends; a range may go past Sunday."""
    hours = load(instead(hours="hours: {Sat-Mon: [9:00 – 12:00, 12:00-13:00]}")).hours
    assert list(hours.windows) == [Weekday.SATURDAY, Weekday.SUNDAY, Weekday.MONDAY]
    assert hours.windows[Weekday.SUNDAY] == (
        Window(time(9), time(12)),
        Window(time(12), time(13)),
    )


@given(cuts=st.sets(st.integers(0, 24 * 60), min_size=2, max_size=8), data=st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_apart_are_read_in_the_order_of_the_day(
    load: Load, cuts: set[int], data: st.DataObject
) -> None:
    """Whatever the order in the file, to the minute, midnight at either end included."""
    marks = sorted(cuts)
    spans = list(zip(marks[::2], marks[1::2], strict=False))
    said = ", ".join(
        f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
        for start, end in data.draw(st.permutations(spans))
    )
    windows = load(instead(hours=f"hours: {{mon: [{said}]}}")).hours.windows[Weekday.MONDAY]
    minutes = [
        (w.start.hour * 60 + w.start.minute, w.end.hour * 60 + w.end.minute) for w in windows
    ]
    assert [(start, end or 24 * 60) for start, end in minutes] == spans


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        ("pace: {ramp: {0m: 10%, 5m: 50%}}", "pace.ramp.5m", "the last step must be 100%"),
        ("pace: {ramp: {1m: 10%, 5m: 100%}}", "pace.ramp.1m", "the first step must be at 0m"),
        ("pace: {ramp: {0m: 50%, 5m: 50%, 9m: 100%}}", "pace.ramp.5m", "more than the step"),
        ("pace: {ramp: {0m: 50%, 5m: 60%, 300s: 100%}}", "pace.ramp.300s", "later than the step"),
        ("pace: {ramp: {0m: 0%, 5m: 100%}}", "pace.ramp.0m", "more than 0%"),
        ("pace: {ramp: {0m: 10%, 5m: 101%}}", "pace.ramp.5m", "at most 100%"),
        ("pace: {ramp: {0m: 0.1, 5m: 100%}}", "pace.ramp.0m", "must be a share such as 30%"),
        ("pace: {ramp: {0: 10%, 5m: 100%}}", "pace.ramp.0", "must be a duration"),
        ("pace: {ramp: {}}", "pace.ramp", "must be a mapping"),
        ("pace: {ramp: {0m: }}", "pace.ramp.0m", "has no value"),
        ("pace: {calls_per_second: 0}", "pace.calls_per_second", "greater than 0"),
        ("pace: {calls_per_second: nan}", "pace.calls_per_second", "finite"),
        ("pace: {calls_at_once: many}", "pace.calls_at_once", "must be a whole number"),
        ("pace: fast", "pace", "must be a mapping of fields"),
        ("pace:", "pace", "has no value"),
        ("attempts: {spacing: {busy: 0s}}", "attempts.spacing.busy", "more than 0s"),
        ("attempts: {spacing: {busy: 366d}}", "attempts.spacing.busy", "at most 365d"),
        ("attempts: {spacing: {busy: 99999999d}}", "attempts.spacing.busy", "must be a duration"),
        ("attempts: {spacing: {opted_out: 1d}}", "attempts.spacing.opted_out", "never tried again"),
        ("attempts: {spacing: {human: off}}", "attempts.spacing.human", "never tried again"),
        ("attempts: {per_day: 25}", "attempts.per_day", "less than or equal to 24"),
        ("brake: {calls: 10}", "brake.calls", "it never acts"),
        ("brake: {at_least: 51}", "brake.at_least", "it never acts"),
        ("brake: {failed: none}", "brake.failed", "such as 30%, or off"),
        ("brake: {failed: [30%]}", "brake.failed", "must be text"),
        ("voicemail: {policy: leave_message}", "voicemail.message", "is required"),
        ("voicemail: {message: Hi}", "voicemail.message", "the policy is hang_up"),
        ("voicemail: {policy: talk, message: Hi}", "voicemail.message", "the policy is talk"),
        ('voicemail: {policy: leave_message, message: ""}', "voicemail.message", "is empty"),
        ("ends_on: 20260630", "ends_on", "must be a date"),
        ("consent_required: maybe", "consent_required", "must be yes or no"),
        ('disclosure: "\\a Hello"', "disclosure", "control character"),
        ('opt_out_key: "99"', "opt_out_key", "one key of a phone"),
        ("opt_out_key: A", "opt_out_key", "one key of a phone"),
        ("ring_s: 14.9", "ring_s", "greater than or equal to 15"),
        ("ring_s: 601", "ring_s", "less than or equal to 600"),
        ("outcome: {why: {type: choice}}", "outcome.why.choices", "required with type choice"),
        ("outcome: {why: {type: choice, choices: []}}", "outcome.why.choices", "is empty"),
        ("outcome: {why: {type: text, choices: [a]}}", "outcome.why.choices", "type choice"),
        (
            "outcome: {why: {type: choice, choices: [a, b, a]}}",
            "outcome.why.choices[2]",
            "is already listed",
        ),
        ("outcome: {größe: {type: text}}", "outcome.größe", "must be letters"),
        ("outcome: {1st: {type: text}}", "outcome.1st", "not a digit first"),
        ("outcome: [why]", "outcome", "must be a mapping of fields"),
        ("webhook: {url: http://crm.example.com/}", "webhook.url", "must be https"),
        ("webhook: {url: ftp://localhost/}", "webhook.url", "must be https"),
        ("webhook: {url: crm.example.com}", "webhook.url", "must be a URL"),
        ('webhook: {url: "https://[::1"}', "webhook.url", "is not a URL"),
        ("webhook: {url: https://a.example:port/}", "webhook.url", "is not a URL"),
        ("webhook: {url: https://me:secret@a.example/}", "webhook.url", "password"),
        ('webhook: {url: "https://a.example/a b"}', "webhook.url", "must be a URL"),
        ("webhook: {url: https://a.example/, secret_env: A-B}", "webhook.secret_env", "variable"),
        ("ring_s: 20\nring_s: 30", "ring_s", "is given twice"),
        ("pace: &a {ramp: *a}", "pace.ramp", "contains itself"),
    ],
)
def test_values_that_cannot_be(issues: Issues, line: str, field: str, message: str) -> None:
    """Each is one problem, at its own field."""
    [(at, where, text)] = issues(GOOD + line)
    assert (at, where) == (7 if "twice" in message else 6, field)
    assert message in text


@pytest.mark.parametrize(
    ("contacts", "field", "message"),
    [
        ("{file: nobody.csv}", "contacts.file", "there is no file"),
        ("{file: .}", "contacts.file", "there is no file"),
        ("{file: people.csv, delimiter: ab}", "contacts.delimiter", "semicolon"),
        ("{file: people.csv, delimiter: x}", "contacts.delimiter", "semicolon"),
        ("{file: people.csv, encoding: latin-99}", "contacts.encoding", "no encoding"),
        ("{file: people.csv, encoding: base64}", "contacts.encoding", "no encoding"),
        ("{file: people.csv, region: UK}", "contacts.region", "did you mean GB?"),
        (
            "{file: people.csv, columns: {variables: {2nd: B}}}",
            "contacts.columns.variables.2nd",
            "",
        ),
        ("{file: people.csv, columns: {number: ''}}", "contacts.columns.number", "is empty"),
        ("{delimiter: tab}", "contacts.file", "is required"),
        ("people.csv", "contacts", "must be a mapping of fields"),
    ],
)
def test_contacts_that_cannot_be(issues: Issues, contacts: str, field: str, message: str) -> None:
    """Each is one problem, at its own field."""
    [(line, where, text)] = issues(instead(contacts=f"contacts: {contacts}"))
    assert (line, where) == (4, field)
    assert message in text


@pytest.mark.parametrize(
    ("callers", "field", "message"),
    [
        ("[]", "callers", "is empty"),
        ("+15550100001", "callers", "must be a list"),
        ("[5550100001]", "callers[0]", "E.164"),
        ("[+1555010000١]", "callers[0]", "E.164"),
        ("[+15550100001, +15550100001]", "callers[1]", "is already listed"),
    ],
)
def test_callers_that_cannot_be(issues: Issues, callers: str, field: str, message: str) -> None:
    """Own numbers are a list of different ones in E.164 form."""
    [(line, where, text)] = issues(instead(callers=f"callers: {callers}"))
    assert (line, where) == (3, field)
    assert message in text


@pytest.mark.parametrize(
    ("said", "read"),
    [(";", ";"), ("'|'", "|"), ('"\\t"', "\t"), ("Comma", ","), ("pipe", "|")],
)
def test_a_delimiter_is_a_character_or_its_name(load: Load, said: str, read: str) -> None:
    """A tab between quotes is not stripped as blank."""
    text = instead(contacts=f"contacts:\n  file: people.csv\n  delimiter: {said}")
    assert load(text).source.delimiter == read


@pytest.mark.parametrize(
    "url", ["https://a.example", "http://127.0.0.1:8000/x", "http://[::1]/", "http://localhost/"]
)
def test_a_webhook_is_https_or_stays_on_this_machine(load: Load, url: str) -> None:
    """Tests and demonstrations need no certificate on loopback."""
    assert load(GOOD + f'webhook: {{url: "{url}"}}').webhook == Webhook(url)


def test_blanks_around_a_value_are_not_meant(load: Load) -> None:
    """Between quotes they are as easily typed as overlooked."""
    campaign = load(instead(callers='callers: [" +15550100001"]') + 'disclosure: " Hello. "')
    assert (campaign.callers, campaign.disclosure) == (("+15550100001",), "Hello.")


def test_a_variable_is_whatever_the_instruction_can_name(load: Load) -> None:
    """Letters beyond ASCII too, as an agent's placeholders have them."""
    contacts = "contacts: {file: people.csv, columns: {variables: {größe: Size}}}"
    assert load(instead(contacts=contacts)).source.columns.variables == {"größe": "Size"}


def test_the_brake_may_wait_for_all_the_calls_it_looks_at(load: Load) -> None:
    """As many as it looks at is the most it can wait for."""
    assert load(GOOD + "brake: {calls: 20}").brake == BrakeLimits(calls=20)


def test_files_are_looked_for_beside_the_campaign(
    load: Load, issues: Issues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the folder one works in nor the spelling of the campaign's path matters."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.yaml").write_text("")
    monkeypatch.chdir(elsewhere)
    assert load(GOOD).agent == str(tmp_path / "agent.yaml")
    [(line, field, message)] = issues(instead(agent="agent: other.yaml"))
    assert (line, field) == (2, "agent")
    assert message == f"there is no file {tmp_path / 'other.yaml'}"
    assert load(instead(agent=f"agent: {elsewhere / 'other.yaml'}")).agent.endswith("other.yaml")
    monkeypatch.chdir(tmp_path)
    assert load_campaign("campaign.yaml").source.file == str(tmp_path / "people.csv")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The reader's own errors come through unchanged."""
    with pytest.raises(AgentSpecError, match="cannot be read"):
        load_campaign(tmp_path / "campaign.yaml")


@given(
    section=st.sampled_from(
        [*NEEDED, "attempts", "pace", "brake", "voicemail", "ends_on", "outcome", "webhook"]
    ),
    value=st.recursive(
        st.sampled_from(
            [
                "",
                "off",
                "~",
                "0m",
                "10%",
                "mon",
                "09:00-18:00",
                "1e999",
                "'\\0'",
                '"\\0"',
                "9" * 5000,
            ]
        ),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
            | st.dictionaries(
                st.sampled_from(INNER_FIELDS),
                inner,
                max_size=3,
            ).map(lambda items: "{" + ", ".join(f"{k}: {v}" for k, v in items.items()) + "}")
        ),
        max_leaves=6,
    ),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_there_is_read_or_refused_at_its_field(
    load: Load, section: str, value: str
) -> None:
    """No value of any shape ends in another error, or blames another section."""
    text = "\n".join({**NEEDED, section: f"{section}: {value}"}.values())
    try:
        load(text)
    except AgentSpecError as error:
        for issue in error.issues:
            # The empty name is for text that is not YAML at all.
            assert issue.field.startswith(section) or not issue.field
