"""One call as a single HTML page that needs nothing but itself: drawing, sound, words, numbers.

The template, its style and its script lie in ``page_assets``, what it shares with other pages in
``workers.dashboard.shared_style``; the page forbids itself to load anything and to run any other
script (Content-Security-Policy).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from string import Template
from urllib.parse import quote

from agent.conversation.record import CallRecord
from workers.dashboard.call_page.context_plot import context_legend
from workers.dashboard.call_page.figures import Figure, figures, headline
from workers.dashboard.call_page.memory_report import remembers_section, work_section
from workers.dashboard.call_page.moves_report import moves_section
from workers.dashboard.call_page.page_audio import data_uri
from workers.dashboard.call_page.timeline import timeline
from workers.dashboard.call_page.transcript_table import transcript_table
from workers.dashboard.call_page.waveform import (
    Recording,
    RecordingUnreadable,
    Waves,
    read_recording,
    waveform,
)
from workers.dashboard.markup import Markup, element, escaped, joined
from workers.dashboard.shared_style import shared_style
from workers.dashboard.story import duration_s, end_of, long
from workers.dashboard.streams import workers_of


def render_page(record: CallRecord, *, wav: bytes | None = None, wav_name: str = "") -> str:
    """Render the page of a call.

    Args:
        record: The call; it may still be going on.
        wav: Stereo PCM16 WAV from when the call was answered, caller left, agent right.
        wav_name: File name of that WAV beside the page, for a link to it.

    Returns:
        HTML to be written as UTF-8, under about 2 MB. Some 50 ms of work for a short call; a call
        of eleven minutes took 2 s, most of it Opus, so not to be done on an event loop.
    """
    recording, note = _recording(wav)
    waves = _waves(recording) if recording else None
    player = Markup("")
    if recording:
        uri = data_uri(recording)
        if uri:
            player = element("audio", {"controls": True, "preload": "auto", "src": uri})
        else:
            note = "The recording is too long to be part of this page."
    style, script = shared_style() + _asset("page.css"), _asset("page.js")
    tone, ended = end_of(record.end_reason)
    return Template(_asset("page.html")).substitute(
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        script=script,
        title=escaped(f"{record.agent}: {long(duration_s(record))}, {ended.lower()}"),
        agent=escaped(record.agent),
        tone=tone,
        ended=escaped(ended),
        detail=element("p", {"class": "detail"}, record.detail) if record.detail else "",
        facts=_facts(record),
        tiles=joined(*(_tile(figure) for figure in headline(record))),
        player=player,
        note=_note(note, wav_name if recording else ""),
        timeline=timeline(record, waves),
        legend=context_legend(record),
        remembers=remembers_section(record),
        transcript=transcript_table(record),
        moves=moves_section(record),
        work=work_section(record),
        figures=joined(*(_figure_row(figure) for figure in figures(record, waves))),
    )


def _recording(wav: bytes | None) -> tuple[Recording | None, str]:
    if wav is None:
        return None, "This call was not recorded."
    try:
        recording = read_recording(wav)
    except RecordingUnreadable as error:
        return None, f"Without sound: {error}."
    return (recording, "") if recording.pcm else (None, "The recording is empty.")


def _waves(recording: Recording) -> Waves:
    caller, agent = (
        waveform(recording.side(agent=agent), rate_hz=recording.rate_hz) for agent in (False, True)
    )
    return Waves(caller, agent, recording.duration_s)


def _facts(record: CallRecord) -> Markup:
    workers = workers_of(record)
    facts = [
        ("Model", record.model),
        ("Duration", long(duration_s(record))),
        ("Direction", record.direction),
        ("Started", record.started_at.replace("T", " ")),
        ("Call", record.call_sid),
        ("Streams", str(len(record.streams)) if len(record.streams) > 1 else ""),
        ("Workers" if len(workers) > 1 else "Worker", ", ".join(workers)),
    ]
    return joined(
        *(
            element("div", None, element("dt", None, name), element("dd", None, value))
            for name, value in facts
            if value
        )
    )


def _tile(figure: Figure) -> Markup:
    return element(
        "li",
        {"class": f"tile {figure.tone}"},
        element("span", {"class": "label"}, figure.label),
        element("strong", None, figure.value),
        element("span", {"class": f"small {figure.note_tone}"}, figure.note),
    )


def _note(note: str, wav_name: str) -> Markup:
    link = (
        element("a", {"href": f"./{quote(wav_name)}", "download": True}, wav_name)
        if wav_name
        else ""
    )
    if not note and not link:
        return Markup("")
    return element("p", {"class": "note"}, note, " " if note and link else "", link)


def _figure_row(figure: Figure) -> Markup:
    return element(
        "tr",
        {"class": figure.tone},
        element("th", {"scope": "row"}, figure.label),
        element("td", {"title": figure.note}, figure.value),
    )


@cache
def _asset(name: str) -> str:
    return (resources.files("workers.dashboard.call_page") / "page_assets" / name).read_text(
        encoding="utf-8"
    )
