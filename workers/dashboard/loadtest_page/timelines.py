"""The slowest calls one by one: a table, and each call's sides, waits and gaps on one time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from workers.dashboard.loadtest_page.plots import clock, time_axis
from workers.dashboard.loadtest_page.tables import note
from workers.dashboard.loadtest_page.words import ENDING_WORDS, LINE_WORDS, PERSONA_WORDS, ms
from workers.dashboard.markup import Markup, element, joined
from workers.dashboard.scale import in_svg
from workers.dashboard.story import at, long
from workers.loadtest.measured import CallMeasured, Ending
from workers.loadtest.slowest import slowest, slowness_ms

_WIDTH = 1000
# Lanes of the drawing, from above, in its own units: the caller, the wait between, the agent.
_CALLER = (2, 16)
_WAIT = (19, 6)
_AGENT = (26, 16)
_HEIGHT = 44
_TONES = {Ending.COMPLETED: "", Ending.STOPPED: "odd"}


def slowest_section(calls: Sequence[CallMeasured], wavs: Mapping[int, str]) -> Markup:
    """The ten slowest calls.

    Args:
        calls: All calls.
        wavs: Name of the WAV of a call, beside the page, by the call's number.
    """
    chosen = slowest(calls)
    if not chosen:
        return note("Nobody waited for anything.")
    until = max([1.0, *(call.duration_s for call in chosen)])
    return joined(
        element(
            "ol",
            {"class": "slowest"},
            *(_call(call, until, wavs.get(call.number, "")) for call in chosen),
        ),
        element(
            "div",
            {"class": "xs", "aria-hidden": "true"},
            *(
                element(
                    "span",
                    {
                        "style": f"left:{in_svg(100 * tick / until)}%",
                        "class": "spare" if number % 2 else "",
                    },
                    name,
                )
                for number, (tick, name) in enumerate(time_axis(until).ticks)
                if tick / until < 0.93
            ),
        ),
        _legend(),
    )


def _call(call: CallMeasured, until: float, wav: str) -> Markup:
    who = ", ".join([PERSONA_WORDS[call.persona], *(LINE_WORDS[line] for line in call.lines)])
    ending = ENDING_WORDS[call.ending]
    if call.reason and call.ending is not Ending.COMPLETED:
        ending += f": {call.reason}"
    longest = max((one.delay_ms for one in call.answers), default=None)
    lost = call.caller_frames.lost + call.agent_frames.lost
    counts = [
        _count(len(call.answers), "answer") or "no answer",
        f"longest {ms(longest)}" if longest is not None else "",
        _count(call.unanswered, "unanswered", "unanswered"),
        _count(len(call.gaps), "gap"),
        _count(len(call.reset_gaps_ms), "reset"),
        _count(lost, "frame lost", "frames lost"),
    ]
    link = element("a", {"href": f"./{quote(wav)}", "download": True}, "WAV") if wav else Markup("")
    return element(
        "li",
        {"id": f"call-{call.number}"},
        element(
            "p",
            {"class": "call"},
            element("b", None, f"Call {call.number:,}"),
            " ",
            element("strong", {"title": "The longest silence"}, ms(slowness_ms(call))),
            element("span", None, who),
            element("span", None, f"at {clock(call.began_s)}, {call.calls_at_once:,} at once"),
            element("span", None, ", ".join(count for count in counts if count)),
            element("span", {"class": _TONES.get(call.ending, "bad")}, ending),
            link,
            element("span", {"class": "sid"}, call.sid),
        ),
        element(
            "svg",
            {
                "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
                "preserveAspectRatio": "none",
                "role": "img",
                "aria-label": _told(call),
            },
            *_drawn(call, until),
        ),
    )


def _count(count: int, one: str, many: str = "") -> str:
    """``3 gaps``; nothing for none."""
    return f"{count:,} {one if count == 1 else many or one + 's'}" if count else ""


def _drawn(call: CallMeasured, until: float) -> list[Markup]:
    def rect(kind: str, lane: tuple[int, int], from_s: float, until_s: float, title: str) -> Markup:
        left, right = (_x(moment, until) for moment in (from_s, until_s))
        place = {"x": in_svg(left), "width": in_svg(max(right - left, 0.0))}
        return element(
            "rect",
            {"class": kind, **place, "y": lane[0], "height": lane[1]},
            element("title", None, title),
        )

    def mark(kind: str, lane: tuple[int, int], at_s: float) -> Markup:
        x = in_svg(_x(at_s, until))
        return element(
            "line", {"class": kind, "x1": x, "x2": x, "y1": lane[0], "y2": lane[0] + lane[1]}
        )

    whole = (0, _HEIGHT)
    drawn = [rect("life", whole, 0.0, call.duration_s, f"{long(call.duration_s)} of call")]
    drawn += [
        rect("caller", _CALLER, begin, end, f"{at(begin)}  caller, {long(end - begin)}")
        for begin, end in call.caller_spoke
    ]
    drawn += [
        rect("agent", _AGENT, begin, end, f"{at(begin)}  agent, {long(end - begin)}")
        for begin, end in call.agent_spoke
    ]
    for one in call.answers:
        asked, heard = one.asked_s, one.asked_s + one.delay_ms / 1000
        drawn.append(rect("wait", _WAIT, asked, heard, f"{at(asked)}  waited {ms(one.delay_ms)}"))
        # Where nothing is known of who spoke when, the answer's beginning at the least.
        drawn.append(mark("answered", _AGENT, heard))
    for barge_in in call.barge_ins:
        began, silent = barge_in.began_s, barge_in.began_s + barge_in.stop_ms / 1000
        title = f"{at(began)}  barge-in, {ms(barge_in.stop_ms)} to silence"
        drawn += [rect("cut", _WAIT, began, silent, title), mark("cut", whole, began)]
    for gap in call.gaps:
        end = gap.at_s + gap.ms / 1000
        title = f"{at(gap.at_s)}  gap of {ms(gap.ms)}"
        drawn += [mark("gap", _AGENT, gap.at_s), rect("gap", _AGENT, gap.at_s, end, title)]
    return drawn


def _told(call: CallMeasured) -> str:
    answers = [f"at {at(one.asked_s)} after {ms(one.delay_ms)}" for one in call.answers[:20]]
    gaps = [f"at {at(one.at_s)} of {ms(one.ms)}" for one in call.gaps[:20]]
    barge_ins = [f"at {at(one.began_s)}, {ms(one.stop_ms)}" for one in call.barge_ins[:20]]
    parts = [
        f"Call {call.number} of {long(call.duration_s)}.",
        f"Answered {'; '.join(answers)}." if answers else "",
        f"Barge-ins {'; '.join(barge_ins)}." if barge_ins else "",
        f"Gaps {'; '.join(gaps)}." if gaps else "",
    ]
    return " ".join(part for part in parts if part)


def _legend() -> Markup:
    kinds = {
        "caller": "Caller speaks",
        "wait": "waits for the answer",
        "agent": "Agent is heard",
        "cut": "Barge-in",
        "gap": "Gap",
    }
    return element(
        "ul",
        {"class": "legend"},
        *(element("li", None, element("i", {"class": k}), name) for k, name in kinds.items()),
    )


def _x(moment: float, until: float) -> float:
    return round(_WIDTH * min(max(moment / until, 0.0), 1.0), 1)
