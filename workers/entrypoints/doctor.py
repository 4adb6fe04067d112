"""``evercall doctor``: is everything there that calls need, and how to mend what is not.

Every check stands by itself: it has a time-out, what it needs missing makes it skipped, and its
failure hides no other. All run at once but the pacing, which wants the host to itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.spec import AgentSpec
from telephony.settings import TwilioSettings
from workers.dashboard.story import one_line
from workers.entrypoints.checks import (
    live_api,
    pacing,
    public_url,
    storage,
    text_model,
    twilio_account,
)
from workers.entrypoints.checks.configured import LIVE_SETTINGS, Configured, read_settings
from workers.entrypoints.checks.finding import Finding, Outcome, fail
from workers.logs import start_logs
from workers.settings import WorkerSettings

# Longer than any check's own time-outs together; a check that hangs is told as such.
CHECK_TIMEOUT_S = 40.0
# What stands in for a public address where only the account is asked.
_NOWHERE = "https://unset.invalid"
_CREDENTIALS = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
_STYLES = {
    Outcome.OK: "green",
    Outcome.WARN: "bold yellow",
    Outcome.FAIL: "bold red",
    Outcome.SKIPPED: "dim",
}
_OUTCOME_LETTERS, _NAME_LETTERS, _UNFOLDED = 4, 14, 10_000

Tell = Callable[[str, Finding], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name in the report, the settings it cannot do without, and what it does."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[], Awaitable[list[Finding]]]


def run_doctor(*, agent: Path | None, point_number: bool = False) -> int:
    """Check everything and print the report; the exit code is 1 where something fails."""
    logs = start_logs("ERROR")
    console = Console()
    if not console.is_terminal:
        # Folded for the eye only: whoever reads a file wants a finding on one line.
        console = Console(width=_UNFOLDED)
    try:
        configured = read_settings(agent=agent)
        told = uvloop.run(diagnose(configured, partial(_print, console), point_number=point_number))
    finally:
        logs.close()
    console.print(_summary(told))
    return 1 if told[Outcome.FAIL] else 0


async def diagnose(
    configured: Configured,
    tell: Tell,
    *,
    point_number: bool = False,
    pacing_frames: int = pacing.FRAMES,
) -> Counter[Outcome]:
    """Make every check and tell each finding, in the report's order; returns how many of each."""
    outcomes: Counter[Outcome] = Counter()

    def take(name: str, findings: Iterable[Finding]) -> None:
        for finding in findings:
            outcomes[finding.outcome] += 1
            tell(name, finding)

    take("settings", configured.findings)
    spec = live_api.STAND_IN

    async def read_agent() -> list[Finding]:
        nonlocal spec
        assert configured.settings.agent is not None
        spec, findings = await live_api.check_agent(configured.settings.agent)
        return findings

    take("agent", await _examine(Check("agent", ("EVERCALL_AGENT",), read_agent), configured))
    checks = _checks(configured.settings, spec, point_number=point_number)
    async with asyncio.TaskGroup() as tasks:
        running = [(check, tasks.create_task(_examine(check, configured))) for check in checks]
        for check, task in running:
            take(check.name, await task)
    alone = Check("audio pacing", (), partial(pacing.check_pacing, pacing_frames))
    take(alone.name, await _examine(alone, configured))
    return outcomes


def _checks(settings: WorkerSettings, spec: AgentSpec, *, point_number: bool) -> list[Check]:
    ca_file = settings.ssl_cert_file
    address = settings.public_url or _NOWHERE
    # A twin on this machine, or in a private network, may ask what Twilio may not.
    asker = urlsplit(settings.twilio_base_url or twilio_account.API_URL).hostname or ""
    public = asker.endswith(".twilio.com")

    def twilio() -> TwilioSettings:
        return settings.model_copy(update={"public_url": address}).twilio()

    url = ("EVERCALL_PUBLIC_URL",)
    return [
        Check("Live API", LIVE_SETTINGS, lambda: live_api.check_live_api(settings.live(), spec)),
        *_text_model_checks(settings, spec),
        Check("Twilio account", _CREDENTIALS, lambda: twilio_account.check_account(twilio())),
        Check(
            "phone number",
            (*_CREDENTIALS, *url, "EVERCALL_PHONE_NUMBER"),
            lambda: twilio_account.check_number(
                twilio(), settings.phone_number or "", point=point_number
            ),
        ),
        Check("clock", (), lambda: twilio_account.check_clock(settings.twilio_base_url, ca_file)),
        Check("public name", url, lambda: public_url.check_name(address, public=public)),
        Check("certificate", url, lambda: public_url.check_certificate(address, ca_file)),
        Check("worker", url, lambda: public_url.check_worker(address, ca_file)),
        Check(
            "media socket",
            (*_CREDENTIALS, *url),
            lambda: public_url.check_media(twilio(), ca_file),
        ),
        Check(
            "database",
            ("EVERCALL_DATABASE_URL",),
            lambda: storage.check_database(settings.database),
        ),
        Check("data folder", (), lambda: storage.check_folder(settings.data_dir)),
    ]


def _text_model_checks(settings: WorkerSettings, spec: AgentSpec) -> list[Check]:
    summary = spec.context.summary
    if summary.model is None:
        return []
    needs = (*LIVE_SETTINGS, "EVERCALL_TEXT_BASE_URL")
    check = partial(
        text_model.check_text_model,
        summary.model,
        settings.text_model(),
        allowed_s=summary.timeout_s,
    )
    return [Check("text model", needs, check)]


async def _examine(check: Check, configured: Configured) -> list[Finding]:
    lacking = configured.lacks(check.needs)
    if lacking is not None:
        return [Finding(Outcome.SKIPPED, f"skipped: {lacking}")]
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check.run()
    except TimeoutError:
        return [fail(f"no result within {CHECK_TIMEOUT_S:g} s", "run the doctor again")]
    except Exception as error:  # noqa: BLE001  the edge of a check: one that breaks hides no other
        text = f"the check itself broke: {type(error).__name__}: {error}"
        return [fail(text, "please report this")]


def _print(console: Console, name: str, finding: Finding) -> None:
    """One line: outcome, check, what was found; and how to mend it on a line below."""
    line = Table.grid(padding=(0, 1))
    line.add_column(width=_OUTCOME_LETTERS, no_wrap=True)
    line.add_column(width=_NAME_LETTERS, no_wrap=True)
    line.add_column(overflow="fold")
    words = Text(one_line(finding.text), "dim" if finding.outcome is Outcome.SKIPPED else "")
    mark = "-" if finding.outcome is Outcome.SKIPPED else finding.outcome.value
    line.add_row(Text(mark, _STYLES[finding.outcome]), Text(name, "bold"), words)
    if finding.mend:
        line.add_row("", "", Text(f"→ {one_line(finding.mend)}", "cyan"))
    console.print(line, highlight=False)


def _summary(told: Counter[Outcome]) -> Text:
    failed, warned = told[Outcome.FAIL], told[Outcome.WARN]
    if failed:
        rest = f", {warned} more to look at" if warned else ""
        return Text(f"{failed} to mend{rest}", "bold red")
    if warned:
        return Text(f"calls work; {warned} to look at", "bold yellow")
    return Text("all well", "bold green")
