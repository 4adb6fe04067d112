"""How many tokens the model held in the course of a call, drawn as a lane of the timeline.

The curve stretches with the axis as waveforms do; what must not be stretched (letters, marks)
lies over it, placed in per cent.
"""

from __future__ import annotations

from agent.conversation.record import CallRecord, ContextRecord
from workers.dashboard.call_page.axis import Axis, Lane
from workers.dashboard.call_page.context_scale import (
    Corner,
    Scale,
    corners_of,
    held_at,
    limits_of,
    pieces,
    scale_of,
    thinned,
)
from workers.dashboard.markup import Markup, element, joined
from workers.dashboard.memory import cut_words, made_words, update_words
from workers.dashboard.moves import move_words
from workers.dashboard.story import at

_WIDTH, _HEIGHT = 100_000, 1_000
# As ``page.css`` has them; labels are kept so far apart.
_PLOT_PX, _LABEL_PX, _CUT_LABEL_PX = 190, 16, 46


def context_lane(record: CallRecord, axis: Axis) -> Lane | None:
    """Draw the context's size and all that changed it; nothing where it was never counted."""
    context = record.context
    if not context.samples:
        return None
    scale = scale_of(context)
    samples = thinned(sorted(context.samples, key=lambda sample: sample.at_s))
    corners = corners_of(samples, context)
    heights = [(tick, f"bottom:{scale.share(tick):.2f}%") for tick in scale.ticks]
    name = joined(
        element("span", {"class": "title"}, "Context", element("small", None, "tokens")),
        *(element("b", {"style": height}, short(tick)) for tick, height in heights),
    )
    return Lane(
        name,
        "context",
        joined(
            *(element("i", {"class": "level", "style": height}) for _, height in heights),
            _curve(corners, axis, scale),
            *_limit_lines(context, scale),
            *_move_marks(record, axis),
            *_cut_marks(context, axis, scale),
            *_work_marks(context, corners, axis, scale),
        ),
    )


def context_legend(record: CallRecord) -> Markup:
    """Tell what the marks of the plot mean, and which limits lie beyond it."""
    context = record.context
    if not context.samples:
        return Markup("")
    reported = {sample.reported for sample in context.samples}
    outcomes = {made.outcome for made in context.summaries}
    keys = [
        ("reported", "counted by the server", True in reported),
        ("estimated", "estimated", False in reported),
        ("forgot", "cut by the server", bool(context.cuts)),
        ("moved", "move to another connection", bool(record.moves)),
        ("work ok", "summary brought up to date", "ok" in outcomes),
        ("work failed", "summary failed", "failed" in outcomes),
        ("work timeout", "summary timed out", "timeout" in outcomes),
        ("work discarded", "summary discarded", "discarded" in outcomes),
        ("work update", "agent was told something", bool(context.updates)),
    ]
    entries = [
        element("li", None, element("i", {"class": kind}), text)
        for kind, text, shown in keys
        if shown
    ]
    scale = scale_of(context)
    beyond = [
        f"{limit.kind} {limit.tokens:,}" for limit in limits_of(context) if limit.tokens > scale.top
    ]
    if beyond:
        entries.append(element("li", {"class": "beyond"}, f"far above: {', '.join(beyond)}"))
    return element("ul", {"class": "legend", "aria-label": "Marks of the context"}, *entries)


def short(tokens: float) -> str:
    """A number of tokens as an axis names it: ``500``, ``2.5k``, ``20k``."""
    return f"{tokens / 1000:g}k" if abs(tokens) >= 1000 else f"{tokens:g}"


def _curve(corners: list[Corner], axis: Axis, scale: Scale) -> Markup:
    def place(corner: Corner) -> str:
        x = round(axis.share(corner.at_s) * _WIDTH / 100)
        return f"{x} {round(_HEIGHT * (1 - scale.share(corner.tokens) / 100))}"

    line = [place(corner) for corner in corners]
    start = line[0].partition(" ")[0]
    drawn = [("held", f"M{start} {_HEIGHT}L{'L'.join(line)}V{_HEIGHT}Z")]
    held, guessed = pieces(corners)
    for kind, parts in (("line", held), ("line guessed", guessed)):
        drawn.append((kind, "".join(f"M{place(a)}L{place(b)}" for a, b in parts)))
    for kind, reported in (("dots estimated", False), ("dots reported", True)):
        # Points without a length are drawn round, whatever the stretch.
        dots = [f"M{place(one)}h0" for one in corners if one.reported is reported]
        drawn.append((kind, "".join(dots)))
    return element(
        "svg",
        {
            "class": "plot",
            "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
            "preserveAspectRatio": "none",
            "aria-hidden": "true",
        },
        *(element("path", {"class": kind, "d": d}) for kind, d in drawn if d),
    )


def _limit_lines(context: ContextRecord, scale: Scale) -> list[Markup]:
    lines: list[Markup] = []
    free_px = 0.0
    for limit in sorted(limits_of(context), key=lambda limit: -limit.tokens):
        if limit.tokens > scale.top:
            continue
        share = scale.share(limit.tokens)
        above_px = _PLOT_PX * (1 - share / 100) - _LABEL_PX
        label_px = max(above_px, free_px)
        free_px = label_px + _LABEL_PX
        text = f"{limit.kind} {limit.tokens:,}"
        title = f"{text}: {limit.title}"
        label = element("b", {"style": f"margin-top:{label_px - above_px:.0f}px"}, text)
        lines.append(
            element(
                "span",
                {
                    "class": f"limit {limit.kind}",
                    "style": f"bottom:{share:.2f}%",
                    "title": title,
                },
                label,
            )
        )
    return lines


def _move_marks(record: CallRecord, axis: Axis) -> list[Markup]:
    """Return what shows a title where the lines of moves cross the plot."""
    return [
        element(
            "span",
            {
                "class": "moved",
                "style": axis.place(move.left_s),
                "title": f"{at(move.left_s)}  {move_words(move)}",
            },
        )
        for move in record.moves
    ]


def _cut_marks(context: ContextRecord, axis: Axis, scale: Scale) -> list[Markup]:
    cuts = sorted(context.cuts, key=lambda cut: cut.at_s)
    marks = []
    for number, cut in enumerate(cuts):
        next_s = cuts[number + 1].at_s if number + 1 < len(cuts) else axis.until_s
        bottom = scale.share(min(cut.after_tokens, cut.before_tokens))
        classes = ["forgot"]
        if (next_s - cut.at_s) * axis.width_px / axis.until_s >= _CUT_LABEL_PX:
            classes.append("apart")
        if bottom * _PLOT_PX / 100 < _LABEL_PX + 4:
            # Below it there is no room for its label.
            classes.append("low")
        height = abs(scale.share(cut.before_tokens) - scale.share(cut.after_tokens))
        gone = round(max(0, cut.before_tokens - cut.after_tokens) / 100) * 100
        marks.append(
            element(
                "span",
                {
                    "class": " ".join(classes),
                    "style": f"{axis.place(cut.at_s)};bottom:{bottom:.2f}%;height:{height:.2f}%",
                    "title": f"{at(cut.at_s)}  {cut_words(cut)}",
                },
                element("b", None, f"−{short(gone)}"),
            )
        )
    return marks


def _work_marks(
    context: ContextRecord, corners: list[Corner], axis: Axis, scale: Scale
) -> list[Markup]:
    work: list[tuple[float, str, str]] = [
        (made.at_s, made.outcome, made_words(made)) for made in context.summaries
    ]
    work += [(update.at_s, "update", update_words(update)) for update in context.updates]
    return [
        element(
            "span",
            {
                "class": f"work {kind}",
                "style": f"{axis.place(at_s)};bottom:{scale.share(held_at(corners, at_s)):.2f}%",
                "title": f"{at(at_s)}  {words}",
            },
        )
        for at_s, kind, words in work
    ]
