"""One call as a single page."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    ContextRecord,
    ContextSample,
    CutRecord,
    DigitRecord,
    EndReason,
    FactRecord,
    MoveCause,
    MoveMoment,
    MoveRecord,
    StreamRecord,
    SummaryMade,
    SummaryRecord,
    ToolRecord,
    TurnRecord,
)
from tests.fakes.long_call import long_record
from tests.fakes.sample_call import (
    HOURS,
    HOURS_HEARD,
    sample_moves,
    sample_record,
    sample_wav,
    wav_of,
)
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from workers.dashboard.call_page.page import render_page

# Elements without an end tag (html.spec.whatwg.org, void elements).
VOID = {"meta", "br", "link", "img", "input"}


class Outline(HTMLParser):
    """Checks that elements nest, and collects what the rules are about."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "tr" in self.open:
            self.rows[-1] += f"{data} "


@pytest.fixture(scope="module")
def page() -> str:
    record = sample_record()
    return render_page(record, wav=sample_wav(record), wav_name="call.wav")


def test_page_needs_nothing_but_itself(page: str) -> None:
    """No element loads anything; the only source is the sound inside the page."""
    sources = [
        (tag, value)
        for tag, attributes in Outline(page).tags
        for name, value in attributes.items()
        if name in {"src", "srcset", "poster", "data", "action"}
    ]
    assert [tag for tag, _ in sources] == ["audio"]
    assert str(sources[0][1]).startswith("data:audio/wav;base64,")
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r'="https?:', page)


def test_page_forbids_every_other_script(page: str) -> None:
    """The policy names the hash of the one script there is, and nothing may be loaded."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_page_of_a_minute_is_small(page: str) -> None:
    """Sound and drawing of a call of 48 s stay under 2 MB."""
    assert len(page.encode()) < 2_000_000


def test_transcript_strikes_out_what_was_not_heard(page: str) -> None:
    """The heard words stand plain, the rest is deleted text, and both are measured."""
    rest = HOURS.removeprefix(HOURS_HEARD).strip()
    assert f'{HOURS_HEARD} <del><span class="unseen"> Not heard: </span>{rest}</del>' in page
    assert "5.0 of 12.3 s" in page


def test_transcript_has_everything_in_order(page: str) -> None:
    """Turns, the barge-in, the key and the tools come as they happened."""
    rows = [row.split() for row in Outline(page).rows]
    speakers = [row[1] for row in rows if re.fullmatch(r"\d+:\d\d\.\d", row[0])]
    assert speakers == [
        "agent", "caller", "agent", "caller", "barge-in", "agent",
        "keys", "tool", "agent", "caller", "tool", "agent",
    ]  # fmt: skip


def test_moves_are_marked_and_reported() -> None:
    """Each stands in the transcript and has a row with all its numbers; without moves, no table."""
    record = sample_record()
    assert "Moves between" not in render_page(record)
    record.moves = [
        *sample_moves(),
        MoveRecord(MoveCause.DEAF, MoveMoment.ABRUPT, None, 40, 41, 45, gap_ms=3900, tries=4),
    ]
    rows = [" ".join(row.split()) for row in Outline(render_page(record)).rows]
    assert "0:21.2 move go_away at a safe point, resumed in 310 ms; gap 0 ms, 0 ms lost" in rows
    assert rows[-5:] == [
        "Left at Cause Moment Kind Gap Took Held Replayed Lost Cut Tries Detail",
        "0:21.2 go_away safe point resume 0 ms 310 ms 300 ms 0 ms 0 ms 0 ms 1"
        " the server gave 50 s; a safe point came after 8.1 s",
        "0:27.4 lost abrupt refill 640 ms 1.5 s 1.5 s 0 ms 0 ms 2.2 s 3"
        " closed with 1011: Internal error encountered. with gemini-3.5-live-preview",
        "0:34.2 age forced standby 0 ms 110 ms 100 ms 1.2 s 40 ms 0 ms 1"
        " no safe point within 4.0 s; the caller was speaking",
        "0:41.0 deaf abrupt none 3.9 s 4.0 s 0 ms 0 ms 0 ms 0 ms 4",
    ]


def test_an_hour_long_call_stays_readable() -> None:
    """What is remembered comes before 300 turns, which have a box; the page is small."""
    page = render_page(long_record())
    Outline(page)
    order = [page.index(f'id="{name}"') for name in ("remembers", "transcript", "moves", "work")]
    assert order == sorted(order)
    assert 'class="box" tabindex="0" role="region" aria-label="Transcript"' in page
    assert len(page) < 500_000


def test_rows_of_a_table_are_not_placed_like_marks() -> None:
    """A row may share its class with a mark of the timeline, but no rule that takes it out."""
    page = render_page(long_record())
    rows = {
        name
        for tag, attrs in Outline(page).tags
        if tag == "tr"
        for name in (attrs.get("class") or "").split()
    }
    assert {"forgot", "summary", "move"} <= rows
    placed = re.findall(r"^([^{}\n]+?) *\{[^}]*position: absolute", page, re.MULTILINE)
    assert "span.forgot" in placed
    selectors = {one.strip() for rule in placed for one in rule.split(",")}
    assert selectors & {f".{name}" for name in rows} == set()


def test_a_short_transcript_has_no_box() -> None:
    """Nor has the page anything of a context that was never counted."""
    page = render_page(sample_record())
    assert 'class="box"' not in page
    for absent in ('class="plot"', 'class="legend"', 'id="remembers"', 'id="work"'):
        assert absent not in page


def test_header_says_how_it_ended_and_why() -> None:
    """Reason and detail stand at the top, graver ends look graver."""
    record = CallRecord(
        "CA0",
        "bakery",
        "no-such-model",
        end_reason=EndReason.LIVE_REFUSED,
        detail="The Live API does not know this model; look at `model`.",
    )
    page = render_page(record)
    assert '<p class="end bad">The Live API refused the session</p>' in page
    assert '<p class="detail">The Live API does not know this model; look at `model`.</p>' in page
    assert "Nobody said a word." in page


def test_call_without_recording_says_so() -> None:
    """Without sound there is no player, and the page tells why."""
    for wav, why in (
        (None, "not recorded"),
        (b"no sound", "not a WAV file"),
        (wav_of(b""), "empty"),
    ):
        page = render_page(sample_record(), wav=wav)
        assert "<audio" not in page
        assert why in page


def test_everything_is_escaped() -> None:
    """Whatever the model, the caller or a tool says stays text."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&$agent"
    record = CallRecord(
        evil,
        evil,
        evil,
        direction=evil,
        started_at=evil,
        detail=evil,
        ended_s=9.0,
        streams=[
            StreamRecord(evil, 0.0, detail=evil, worker=evil),
            StreamRecord(evil, 4.0, worker=f"{evil} 2"),
        ],
        turns=[TurnRecord("caller", evil, evil, 0, 1), TurnRecord("agent", evil, "x", 1, 2)],
        tools=[ToolRecord(evil, evil, {evil: evil}, 3, 4, "ok", {evil: [evil]})],
        barge_ins=[BargeInRecord(2, 1)],
        digits=[DigitRecord(evil, 5)],
        moves=[
            MoveRecord(MoveCause.LOST, MoveMoment.ABRUPT, None, 6, 6, 9, model=evil, detail=evil)
        ],
        counters={evil: 1},
        context=ContextRecord(
            samples=[ContextSample(1, 5, reported=True)],
            summaries=[SummaryMade(3, 1, "failed", 2, evil, detail=evil)],
        ),
        summary=SummaryRecord(evil, evil, (evil,), (evil,), (evil,), evil),
        facts=[FactRecord(evil, evil)],
    )
    page = render_page(record, wav=sample_wav(dataclasses.replace(record, turns=[])), wav_name=evil)
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in outline.tags}
    assert not [name for _, attributes in outline.tags for name in attributes if name[:2] == "on"]
    hrefs = [str(attributes["href"]) for tag, attributes in outline.tags if tag == "a"]
    assert all(href.startswith("./%3C") for href in hrefs)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30)
@given(
    st.lists(
        st.builds(
            TurnRecord,
            speaker=st.sampled_from(["caller", "agent"]),
            said=st.text(),
            heard=st.text(),
            started_s=st.floats(0, 100),
            ended_s=st.floats(0, 100),
            answer_delay_s=st.none() | st.floats(0, 200),
        ),
        max_size=5,
    ),
    st.none() | st.floats(0, 100),
)
def test_any_record_makes_a_page(turns: list[TurnRecord], ended_s: float | None) -> None:
    """However odd the times and texts, the page is whole and can be written."""
    page = render_page(CallRecord("CA0", "a", "m", turns=turns, ended_s=ended_s))
    Outline(page.encode().decode())


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30)
@given(
    st.lists(st.builds(ContextSample, st.floats(-10, 200), st.integers(-5, 10**7), st.booleans())),
    st.lists(st.builds(CutRecord, st.floats(-10, 200), st.integers(0), st.integers(0)), max_size=3),
    st.integers(0, 10**6),
    st.none() | st.integers(0, 10**6),
)
def test_any_context_makes_a_page(
    samples: list[ContextSample], cuts: list[CutRecord], window: int, trigger: int | None
) -> None:
    """However odd sizes and times are, nothing fails."""
    context = ContextRecord(window, trigger, samples=samples, cuts=cuts)
    Outline(render_page(CallRecord("CA0", "a", "m", ended_s=100.0, context=context)))


def test_page_names_every_worker_that_served_the_call() -> None:
    """At its head, and where the call went on; one worker is named, too, where it is known."""
    page = Outline(render_page(shared_record()))
    rows = [" ".join(row.split()) for row in page.rows]
    assert any(f"stream 2 at {SECOND}" in row for row in rows)
    assert any("Handed over to another worker" in row and f"at {FIRST}" in row for row in rows)
    kinds = [str(attrs.get("class")) for tag, attrs in page.tags if tag == "tr"]
    assert "event stream bad" in kinds
    assert "event stream good" in kinds
    assert "event tool unknown" in kinds
    assert f"<dt>Workers</dt><dd>{FIRST}, {SECOND}</dd>" in render_page(shared_record())
    record = sample_record()
    assert "<dt>Worker" not in render_page(record)
    record.streams[0].worker = FIRST
    assert f"<dt>Worker</dt><dd>{FIRST}</dd>" in render_page(record)
