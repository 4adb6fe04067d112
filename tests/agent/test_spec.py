"""Agents read from YAML: what is accepted, and how each mistake is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentSpecError
from agent.spec import AgentSpec, Context, Redaction, SummarySettings, load_agent

GOOD = """\
name: bakery
system_instruction: You answer the phone.
"""


def load(folder: Path, text: str) -> AgentSpec:
    path = folder / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return load_agent(path)


def issues(folder: Path, text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(AgentSpecError) as raised:
        load(folder, text)
    assert all(issue.file == str(folder / "agent.yaml") for issue in raised.value.issues)
    return [(issue.line, issue.field, issue.message) for issue in raised.value.issues]


def test_two_fields_make_an_agent(tmp_path: Path) -> None:
    """Everything but the name and the instruction has a default."""
    spec = load(tmp_path, GOOD)
    assert spec == AgentSpec(name="bakery", system_instruction="You answer the phone.")
    assert spec.model == "gemini-3.8-live"


def test_every_field_is_read(tmp_path: Path) -> None:
    """Values arrive with their types, nested ones as frozen data."""
    spec = load(
        tmp_path,
        GOOD
        + """\
model: gemini-2.5-flash-native-audio-latest
voice: Puck
language: de-DE
greeting: {text: Guten Tag!, cached: true}
tools: [end_call, transfer_call, "shop.tools:order_status"]
transfer: {front desk: "+4930123456"}
vad: {start_of_speech_sensitivity: low, silence_duration_ms: 400}
limits: {max_call_s: 600, idle_s: 20.5}
recording: {enabled: yes, announcement: This call is recorded.}
processors: {caller: ["my.filters:Denoise"]}
thinking: {budget: 0}
temperature: 0.4
""",
    )
    assert spec.greeting.cached is True
    assert spec.tools == ("end_call", "transfer_call", "shop.tools:order_status")
    assert spec.transfer["front desk"] == "+4930123456"
    assert spec.vad.silence_duration_ms == 400
    assert (spec.limits.max_call_s, spec.limits.idle_s) == (600.0, 20.5)
    assert spec.recording.enabled is True
    assert spec.processors.caller == ("my.filters:Denoise",)
    assert spec.thinking.budget == 0


def test_scalars_are_taken_as_written(tmp_path: Path) -> None:
    """YAML 1.1 would make a number of +15550100001, and false of Norwegian."""
    spec = load(tmp_path, GOOD + "language: no\ntransfer:\n  desk: +15550100001\n")
    assert spec.language == "no"
    assert spec.transfer == {"desk": "+15550100001"}


def test_every_problem_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    """One run tells all there is to mend, in file order."""
    found = issues(
        tmp_path,
        """\
name: corner bakery
systm_instruction: hi
voice: ""
greeting:
  cached: true
limits:
  idle: 4
  max_call_s: -1
transfer:
  front: 5550
tools:
  - endcall
  - shop:order
  - other:order
vad: {start_of_speech_sensitivity: medium}
temperature: hot
name: again
""",
    )
    assert [(line, field) for line, field, _ in found] == [
        (1, "name"),
        (1, "system_instruction"),
        (2, "systm_instruction"),
        (3, "voice"),
        (5, "greeting.cached"),
        (7, "limits.idle"),
        (8, "limits.max_call_s"),
        (10, "transfer.front"),
        (12, "tools[0]"),
        (14, "tools[2]"),
        (15, "vad.start_of_speech_sensitivity"),
        (16, "temperature"),
        (17, "name"),
    ]
    messages = {field: message for _, field, message in found}
    assert messages["systm_instruction"] == "unknown field; did you mean system_instruction?"
    assert messages["limits.idle"] == "unknown field; did you mean idle_s?"
    assert messages["system_instruction"] == "is required"
    assert messages["tools[0]"].endswith("did you mean end_call?")
    assert messages["name"] == "is given twice"


def test_memory_of_a_long_call_is_read(tmp_path: Path) -> None:
    """Compression is on unless the file turns it off; a summary needs no model."""
    spec = load(
        tmp_path,
        GOOD
        + """\
tools: [remember]
context:
  trigger_tokens: 60000
  target_tokens: 20000
  seed_tokens: 4000
  briefing: no
  summary: {model: gemini-3.5-flash, every_turns: 8, timeout_s: 12, max_chars: 3000}
redaction: {emails: yes, phone_numbers: yes}
""",
    )
    assert spec.context == Context(
        trigger_tokens=60_000,
        target_tokens=20_000,
        seed_tokens=4_000,
        briefing=False,
        summary=SummarySettings("gemini-3.5-flash", 8, 12.0, 3_000),
    )
    assert spec.redaction == Redaction(emails=True, phone_numbers=True)
    default = load(tmp_path, GOOD).context
    assert (default.compression, default.summary.model) == (True, None)


@pytest.mark.parametrize(
    ("text", "line", "field", "words"),
    [
        ("tools: [transfer_call]\n", 3, "tools[0]", "needs a number under transfer"),
        ("tools: [end_call, end_call]\n", 3, "tools[1]", "already listed"),
        (f"tools: [{', '.join(f'a:f{n}' for n in range(21))}]\n", 3, "tools", "at most 20"),
        ("tools: end_call\n", 3, "tools", "must be a list"),
        (
            "greeting: {text: 'Hi {{caller}}', cached: true}\n",
            3,
            "greeting.cached",
            "differs between calls",
        ),
        ("greeting: Hello\n", 3, "greeting", "must be a mapping"),
        ("vad: {silence_duration_ms: 3000}\n", 3, "vad.silence_duration_ms", "a quarter of"),
        ("limits: {idle_s: nan}\n", 3, "limits.idle_s", "finite"),
        ("limits: {idle_s: 1e9}\n", 3, "limits.idle_s", "14400"),
        ('apology: "a\\0b"\n', 3, "apology", "control character"),
        ("processors: {agent: [Loud]}\n", 3, "processors.agent[0]", "module:name"),
        ("source: x\n", 3, "source", "unknown field"),
        ("voice:\n", 3, "voice", "must be"),
        ("recording: &a\n  enabled: *a\n", 4, "recording.enabled", "contains itself"),
        ("[a, b]: c\n", 3, "", "plain text"),
        ("transfer: {desk: {a: b}}\n", 3, "transfer.desk", "must be a text"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, line: int, field: str, words: str) -> None:
    """Each mistake names its line and field and says what is expected."""
    found = issues(tmp_path, GOOD + text)
    assert any((at, name) == (line, field) and words in message for at, name, message in found), (
        found
    )


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"name: [a\n", 2, "not YAML"),
        (b"a: b\n\tc: d\n", 2, "not YAML"),
        (b"name: a\xff\n", 1, "not UTF-8"),
        (b"", 1, "mapping"),
        (b"- a\n", 1, "mapping"),
        (b"a: 1\n---\nb: 2\n", 2, "not YAML"),
        (b"name: \x07\n", None, "not YAML"),
        (b"[" * 5000, None, "nested too deeply"),
        (b"#" * 1_100_000, None, "larger than"),
    ],
)
def test_file_that_is_no_agent_is_refused(
    tmp_path: Path, content: bytes, line: int | None, words: str
) -> None:
    """Other files by mistake, and broken ones, are one issue about the whole file."""
    path = tmp_path / "agent.yaml"
    path.write_bytes(content)
    with pytest.raises(AgentSpecError) as raised:
        load_agent(path)
    [issue] = raised.value.issues
    assert words in issue.message
    assert issue.line == line


def test_missing_file_is_one_issue(tmp_path: Path) -> None:
    """A path that leads nowhere is said as such, without a line."""
    with pytest.raises(AgentSpecError, match=r"nowhere\.yaml: cannot be read"):
        load_agent(tmp_path / "nowhere.yaml")


def test_unreadable_file_is_one_issue(tmp_path: Path) -> None:
    """A folder, or a file we may not read, is no traceback either."""
    with pytest.raises(AgentSpecError, match="cannot be read"):
        load_agent(tmp_path)


def test_later_checks_can_name_a_line(tmp_path: Path) -> None:
    """Who finds a problem after loading, such as a failing import, still names file and line."""
    spec = load(tmp_path, GOOD + "tools:\n  - end_call\n  - shop:order\n")
    issue = spec.issue(("tools", 1), "cannot be imported")
    assert str(issue) == f"{tmp_path / 'agent.yaml'}:5: tools[1]: cannot be imported"
    assert spec.folder == tmp_path


def problems(content: bytes) -> int:
    """How many issues a file of these bytes has."""
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    try:
        load_agent(f"/dev/fd/{reader}")
    except AgentSpecError as error:
        return len([issue for issue in error.issues if issue.message])
    finally:
        os.close(reader)
    return 0


@given(st.binary(max_size=200))
def test_any_bytes_are_an_agent_or_a_declared_error(content: bytes) -> None:
    """No file makes the loader raise anything but AgentSpecError; these are never an agent."""
    assert problems(content) > 0


field_names = st.sampled_from(
    ["name", "tools", "limits", "greeting", "transfer", "vad", "max_call_s", "text", "x"]
)
trees = st.recursive(
    st.sampled_from(["", "a", "1", "~", "true", "'a:b'", "+15550100001"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(field_names, inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{k}: {v}" for k, v in items.items()) + "}"
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(field_names, trees, max_size=6))
def test_any_tree_is_refused_by_a_declared_error(fields: dict[str, str]) -> None:
    """Any value under any field is taken or refused; without an instruction none is an agent."""
    text = "".join(f"{key}: {value}\n" for key, value in fields.items())
    assert problems(text.encode()) > 0


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A page of aliases can mean a billion values; reading stops long before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = tmp_path / "agent.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(AgentSpecError, match="aliases of aliases"):
        load_agent(path)
