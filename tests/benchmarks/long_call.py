"""What keeping the context costs in a long call: CPU, and delay of the media while a summary runs.

Two measurements. *Virtual*: the ninety-minute call of tests/scenarios, 20 ms at a time, with both
ends in one process; twice a millisecond it is noted whose code runs. *Real*: a bot on a core of its
own with N calls, without summaries, with extracted ones and with those of a text model, which the
far end plays; CPU of the whole worker while everybody talks, then added delay each way while a
quarter of the calls is probed. Its probed calls have a turn a second and so a summary every few
seconds each: far more than any real call.

    python -m tests.benchmarks.long_call [--minutes 90] [--calls 40] [--seconds 20] [--only-virtual]
"""

from __future__ import annotations

import logging
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from agent.spec import Context, SummarySettings
from tests.benchmarks import report
from tests.benchmarks.rig import NotMeasured, judge, rig
from tests.scenarios.long_call import TARGET_TOKENS, TRIGGER_TOKENS, agent, hold_call

_SAMPLE_S = 0.0005
_WARM_UP_S = 5.0
_ROOT = f"{Path(__file__).parents[2]}/"
_KEEPING = ("agent/context/", "agent/live/recall.py", "agent/live/context_")
_FAR_END = "tests.benchmarks.far_text_model"
_DIRECTIONS = {"up": "caller to model", "down": "model to caller"}


# -- virtual: whose code runs ------------------------------------------------------------------


class Sampler:
    """Notes twice a millisecond whose code runs: of the worker, or what drives it."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()

    def __enter__(self) -> Sampler:
        self._before = signal.signal(signal.SIGALRM, self._note)
        signal.setitimer(signal.ITIMER_REAL, _SAMPLE_S, _SAMPLE_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def share(self, name: str) -> float:
        return self.found[name] / max(1, self.found.total())

    def _note(self, _signal: int, frame: FrameType | None) -> None:
        # The innermost frame of ours counts, whatever library it called; and whoever calls it on
        # behalf of the context.
        whose = "far ends"
        while frame is not None:
            file = frame.f_code.co_filename.removeprefix(_ROOT)
            if file.startswith(_KEEPING):
                whose = "context"
                break
            if file.startswith("agent/"):
                whose = "session"
            elif file.startswith(("workers/twin/", "tests/")):
                break
            frame = frame.f_back
        self.found[whose] += 1


@dataclass(frozen=True, slots=True)
class Shares:
    """Microseconds of CPU per second of call."""

    session: float
    context: float


def virtual(minutes: float, *, keeps: bool) -> Shares:
    """Hold the call in virtual time, 20 ms at a time.

    Args:
        minutes: Its length.
        keeps: With cuts and summaries as often as the tests have them; else with none at all.
    """
    every_turns = SummarySettings().every_turns if keeps else 100
    context = Context(
        compression=keeps,
        trigger_tokens=TRIGGER_TOKENS if keeps else None,
        target_tokens=TARGET_TOKENS if keeps else None,
        summary=SummarySettings(every_turns=every_turns),
    )
    with Sampler() as sampler:
        call = hold_call(minutes=minutes, spec=replace(agent(), context=context), piece_ms=20)
    per_s = call.cpu_s * 1e6 / call.seconds
    return Shares(sampler.share("session") * per_s, sampler.share("context") * per_s)


# -- real: a worker of its own -----------------------------------------------------------------


_VARIANTS = {
    "none": "",
    "extracted": "context:\n  summary:\n    every_turns: 6\n",
    "text model": "context:\n  summary:\n    every_turns: 6\n    model: gemini-3.1-flash-lite\n",
}
_NEVER = "context:\n  compression: false\n  summary:\n    every_turns: 100\n"


def real(variant: str, *, seconds: float, calls: int, log: Path | None) -> dict[str, Any]:
    """Measure a fresh worker; its delays as ``far_end``'s ``probe`` answers, and its CPU.

    Raises:
        NotMeasured: See ``rig.judge``; or no summary was made.
    """
    written = Path(__file__).with_name("agent.yaml").read_text()
    with tempfile.TemporaryDirectory(prefix="evercall-bench-") as folder:
        file = Path(folder) / "agent.yaml"
        file.write_text(written + (_VARIANTS[variant] or _NEVER))
        with rig("evercall", log=log, agent=file, far_end=_FAR_END) as running:
            running.ask(do="ring", calls=calls)
            time.sleep(_WARM_UP_S)
            used = running.cpu_s()
            talk = running.ask(do="talk", seconds=seconds)
            used = running.cpu_s() - used
            judge(talk)
            window = running.ask(do="probe", seconds=seconds)
            judge(window)
            running.ask(do="hang_up")
    window["cpu_ms"] = used * 1000 / (calls * talk["seconds"])
    window["summaries"] -= talk["summaries"]
    if variant == "text model" and not window["summaries"]:
        raise NotMeasured("the worker asked the text model for nothing")
    return window


# -- both --------------------------------------------------------------------------------------


def main() -> None:
    """Measure and print two tables."""
    parser = report.arguments("What keeping the context of long calls costs")
    parser.add_argument("--minutes", type=float, default=90, help="length of the virtual call")
    parser.add_argument("--only-virtual", action="store_true", help="without sockets")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    load = report.Load()
    kept, bare = (virtual(options.minutes, keeps=keeps) for keeps in (True, False))
    text = [
        f"CPU of a session in a virtual call of {options.minutes:g} min, us per second of call",
        "",
        report.table(
            ("", "session", "of it for the context"),
            [
                (name, f"{one.session + one.context:.0f}", f"{one.context:.1f}")
                for name, one in (("cuts and summaries", kept), ("neither", bare))
            ],
        ),
    ]
    results: dict[str, Any] = {"virtual": {"context_us": kept.context, "session_us": kept.session}}
    if not options.only_virtual:
        rows: list[tuple[object, ...]] = []
        for variant in _VARIANTS:
            window = real(variant, seconds=options.seconds, calls=options.calls, log=options.log)
            results[variant] = window
            for name, direction in _DIRECTIONS.items():
                spread = window[name]["frame_ms"]
                figures = (f"{spread[p]:.1f}" for p in ("p50", "p95", "max"))
                summaries = window["summaries"] or ("" if variant == "extracted" else 0)
                cpu = f"{window['cpu_ms']:.2f}"
                rows.append((variant, direction, window[name]["probes"], *figures, summaries, cpu))
        head = ("summaries", "direction", "probes", "p50", "p95", "max", "asked for", "CPU, ms/s")
        share = kept.context / 1000 / results["none"]["cpu_ms"]
        text += [
            "",
            f"Added delay in ms with {options.calls} calls, first byte in to first byte out",
            "",
            report.table(head, rows),
            "",
            f"Keeping the context takes {share:.2%} of a call's CPU.",
        ]
    text.append(str(load))
    report.publish("long_call", results, "\n".join(text), options.json)


if __name__ == "__main__":
    report.run(main)
