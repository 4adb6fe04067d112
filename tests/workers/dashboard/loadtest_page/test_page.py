"""The page of a load test: it stands by itself, shows every figure, and bears any size."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.workers.dashboard.loadtest_page.sample import (
    empty_result,
    sample_result,
    sample_verdicts,
)
from tests.workers.dashboard.outline import Outline, rows_of
from workers.dashboard.loadtest_page.page import render_load_page
from workers.loadtest.measured import Ending, Gap, OwnSlip
from workers.loadtest.plan import Target
from workers.loadtest.result import LoadResult
from workers.loadtest.slowest import slowest


@pytest.fixture(scope="module")
def result() -> LoadResult:
    return sample_result(120)


@pytest.fixture(scope="module")
def page(result: LoadResult) -> str:
    wavs = {call.number: f"calls/call {call.number}.wav" for call in slowest(result.calls, 3)}
    return render_load_page(result, sample_verdicts(), wavs=wavs)


def test_page_needs_nothing_but_itself(page: str) -> None:
    """Nothing is loaded, no script, a policy that allows none; links lead to WAVs beside it."""
    outline = Outline(page)
    assert not [attrs for _, attrs in outline.tags if "src" in attrs]
    links = [attrs["href"] or "" for _, attrs in outline.tags if "href" in attrs]
    assert len(links) == 3
    assert all(link.startswith("./calls/call%20") for link in links)
    assert "script" not in {tag for tag, _ in outline.tags}
    assert "url(" not in page
    assert "@import" not in page
    assert "http" not in re.sub("http-equiv", "", page)
    policy = next(a for t, a in outline.tags if t == "meta" and "http-equiv" in a)
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_every_section_is_there(page: str, result: LoadResult) -> None:
    """Promises, plots, figures, and the ten slowest calls."""
    outline = Outline(page)
    names = {attrs.get("id") for tag, attrs in outline.tags if tag == "h2"}
    assert names == {
        "promises", "delays", "load", "endings", "worker", "gaps", "resets", "waits", "figures",
        "slowest",
    }  # fmt: skip
    shown = [attrs["id"] for tag, attrs in outline.tags if tag == "li" and "id" in attrs]
    assert shown == [f"call-{call.number}" for call in slowest(result.calls)]
    rows = rows_of(page)
    assert "Added delay, p95 24 ms 30 ms kept" in rows
    assert "Barge-in to silence, longest – 400 ms not measured" in rows
    assert any(re.fullmatch(r"Answer delay [\d,]+( [\d,.]+ ms){4}", row) for row in rows)
    assert any(row.startswith("Loudness of the agent -19") for row in rows)
    assert any(row.startswith("Memory per further call 2.") for row in rows)


def test_each_drawing_can_be_read_without_seeing_it(page: str) -> None:
    """A sentence for each, or hidden because the figure around it has one; numbers as a table."""
    tags = Outline(page).tags
    told = [attrs["aria-label"] or "" for _, attrs in tags if attrs.get("role") == "img"]
    for name in (
        "Delays over time",
        "Delay against load",
        "Gaps over time",
        "The worker over time",
        "Endings over time",
        "Reset gaps by length",
    ):
        assert any(label.startswith(name) and len(label) > len(name) + 20 for label in told)
    assert sum(label.startswith("Call ") for label in told) == 10
    assert page.count('<table class="data">') == 6


def test_kills_stand_in_whatever_goes_over_time(page: str, result: LoadResult) -> None:
    """Also for who does not see them; where none was, nothing says so."""
    assert page.count("Process killed") == 3
    assert page.count("Processes were killed at 0:45, 1:30, 2:15.") == 3
    without = render_load_page(replace(result, kills_s=()), sample_verdicts(), wavs={})
    assert "Process killed" not in without
    assert "were killed" not in without
    many = render_load_page(
        replace(result, kills_s=tuple(float(at) for at in range(30))), sample_verdicts(), wavs={}
    )
    assert "0:09 and 20 more." in many


def test_drawings_hold_numbers_only(page: str) -> None:
    """No place is not a number, and none lies outside of its drawing."""
    for path in re.findall(r' d="(.*?)"', page):
        assert re.fullmatch(r"(?:[MLHVhZ ]|\d+(?:\.\d+)?)*", path)
    for attribute in ("x", "y", "width", "height", "x1", "x2", "y1", "y2"):
        assert all(float(n) >= 0 for n in re.findall(rf' {attribute}="([^"]*)"', page))


def test_whatever_came_from_outside_is_escaped(result: LoadResult) -> None:
    """Names, reasons, call SIDs, the processor's name, and names of files."""
    bad = '<b>&"'
    first, second, *rest = result.calls
    calls = (
        replace(first, sid=bad, gaps=(Gap(2.0, 9_000.0),), began_s=0.0),
        replace(second, ending=Ending.DROPPED, reason=bad),
        *rest,
    )
    changed = replace(
        result,
        plan=replace(result.plan, name=bad, target=Target(voice_url=f"https://e.org/{bad}")),
        machine=replace(result.machine, processor=bad, python=bad, evercall=bad),
        calls=calls,
    )
    page = render_load_page(changed, sample_verdicts(), wavs={first.number: bad})
    Outline(page)
    assert "<b>&" not in page
    assert page.count("&lt;b&gt;&amp;&quot;") >= 6


def test_a_test_of_5_000_calls_is_a_small_page() -> None:
    """Dots are thinned, and the page says how; lines and tables count all."""
    many = sample_result(5_000)
    page = render_load_page(many, sample_verdicts(), wavs={})
    assert len(page.encode()) < 1_000_000
    text = Outline(page).text
    assert "answers some 1,500 are drawn: the slowest of every stretch" in text
    answers = sum(len(call.answers) for call in many.calls)
    assert f"Of {answers:,} answers" in text
    assert all(path.count("h0") <= 1_500 for path in re.findall(r' d="(.*?)"', page))


def test_a_single_call_has_a_page() -> None:
    """With few answers there are dots, and no percentile of them is drawn."""
    one = sample_result(1)
    text = Outline(render_load_page(one, sample_verdicts(), wavs={})).text
    assert "up to 1 at once" in text
    assert "are drawn:" not in text


def test_nothing_measured_is_a_page_too() -> None:
    """Broken off before anybody called: nothing is divided by nothing."""
    verdicts = [replace(one, found=None, kept=None) for one in sample_verdicts()]
    page = render_load_page(empty_result(), verdicts, wavs={})
    text = Outline(page).text
    assert "Broken off" in text
    for words in (
        "Nobody was answered.",
        "No caller heard a gap.",
        "No reset was reported.",
        "There was no call.",
        "The worker did not let itself be looked at.",
        "Nobody waited for anything.",
    ):
        assert words in text


def test_where_pacing_slipped_no_figure_is_shown(result: LoadResult) -> None:
    """Not even a promise that was kept: it would be said of the wrong one."""
    late = OwnSlip(frames=1_000, p99_ms=40.0, worst_ms=90.0, late_share=0.2)
    page = render_load_page(replace(result, slip=late), sample_verdicts(), wavs={})
    text = Outline(page).text
    assert "Not reported" in text
    assert "pacing slipped" in text
    assert "<table" not in page
    assert "<svg" not in page
    assert "kept" not in text
