"""The ``evercall`` command.

Every command imports what it needs when it runs: ``evercall --help`` must not wait for Pipecat,
google-genai or SQLAlchemy.
"""

from __future__ import annotations

import difflib
import os
import sys
import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from workers.entrypoints.campaign.commands import register as register_campaign_commands
from workers.entrypoints.campaign.looking import register as register_campaign_looking
from workers.entrypoints.loadtest_callers import Workers, callers_of


class ExportFormat(StrEnum):
    """What a call's record is written as."""

    JSON = "json"
    TEXT = "text"


class _Commands(TyperGroup):
    """Finds commands of two words, such as ``call export``, before those of one.

    ``call`` takes a number, so that it cannot be a group that wants a command's name next: a second
    word that is none of its commands is left to it.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return name, command and what is left of the arguments."""
        name = " ".join(args[:2])
        if name in self.commands:
            return name, self.commands[name], args[2:]
        # A number has no letters; who has mistyped a command need not read that it is no number.
        if args[0] == "call" and args[1:] and args[1][0].isalpha():
            near = difflib.get_close_matches(
                name, [known for known in self.commands if " " in known]
            )
            if near:
                ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    help="Phone calls bridged into Gemini Live sessions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
agent_app = typer.Typer(help="Agent files.", no_args_is_help=True)
app.add_typer(agent_app, name="agent")
campaign_app = typer.Typer(help="Outbound campaigns.", no_args_is_help=True)
app.add_typer(campaign_app, name="campaign")
calls_app = typer.Typer(help="Calls of all workers on one database.", no_args_is_help=True)
app.add_typer(calls_app, name="calls")

AgentOption = Annotated[
    Path | None,
    typer.Option("--agent", help="The agent's YAML file; EVERCALL_AGENT where it is not given."),
]
HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the recording, transcript and page.")
    ] = Path("evercall-demo"),
    resets: Annotated[
        bool, typer.Option("--resets", help="Take the Live connection away three times.")
    ] = False,
    long: Annotated[
        bool, typer.Option("--long", help="An hour's talk in a minute and a half.")
    ] = False,
    crash: Annotated[
        bool, typer.Option("--crash", help="Kill the worker in mid-call; another goes on.")
    ] = False,
    campaign: Annotated[
        bool, typer.Option("--campaign", help="Call a list of people, from CSV to report.")
    ] = False,
) -> None:
    """One phone call on this machine, or a campaign of them: no phone, no key, no network."""
    if resets + long + crash + campaign > 1:
        raise typer.BadParameter("one at a time: --resets, --long, --crash or --campaign")
    _silence_banner()
    if campaign:
        from workers.entrypoints.demo_campaign import run_campaign_demo

        sys.exit(run_campaign_demo(out, open_page=webbrowser.open if _has_desktop() else None))
    if crash:
        from workers.entrypoints.demo_crash import run_crash_demo

        sys.exit(run_crash_demo(out))
    from workers.entrypoints.demo import run_demo

    sys.exit(run_demo(out, resets=resets, long=long))


@app.command()
def drill(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe's file, or the name of one that ships.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for page, recordings and log; evercall-drill/RECIPE."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name the recipes that ship.")] = False,
) -> None:
    """Rehearse a failure of the Live side on this machine: what must hold beside what did."""
    _silence_banner()
    from workers.entrypoints.drill.command import list_recipes, run_drill

    sys.exit(list_recipes() if list_ or recipe is None else run_drill(recipe, out))


@app.command()
def loadtest(
    plan: Annotated[
        Path | None, typer.Argument(help="The plan's YAML file; the usual one without.")
    ] = None,
    calls: Annotated[int | None, typer.Option("--calls", min=1, help="Calls at once.")] = None,
    call_s: Annotated[
        float | None, typer.Option("--call-s", min=1, help="Seconds that a caller stays.")
    ] = None,
    hold_s: Annotated[
        float | None, typer.Option("--hold-s", min=1, help="Seconds that the load is held.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Voice webhook of a worker that runs; its model, too."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Of the worker started for the test.")
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option("--shards", min=1, help="Share the callers out over so many processes."),
    ] = None,
    workers: Annotated[
        Workers,
        typer.Option(
            "--workers", help="Where those run: on this machine, or by Celery (with --target)."
        ),
    ] = Workers.PROCESSES,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the report, its JSON and recordings.")
    ] = Path("evercall-loadtest"),
    compare: Annotated[
        Path | None,
        typer.Option("--compare", help="Show what is worse than in this result.json; 3 if any."),
    ] = None,
    find_capacity: Annotated[
        bool, typer.Option("--find-capacity", help="Step up until a promise breaks.")
    ] = False,
) -> None:
    """Let many simulated callers call at once, and report what they experience."""
    _silence_banner()
    from workers.entrypoints.loadtest import Flags, run_loadtest

    code = run_loadtest(
        plan,
        Flags(calls, call_s, hold_s, target, processes),
        out=out,
        compare=compare,
        find_capacity=find_capacity,
        callers=callers_of(shards, workers),
    )
    sys.exit(code)


@app.command()
def serve(
    agent: AgentOption = None,
    host: HostOption = "0.0.0.0",  # noqa: S104 - Twilio reaches it through a tunnel or a proxy
    port: PortOption = 8080,
    processes: Annotated[
        int, typer.Option(help="Processes that share the port, restarted when they die.", min=1)
    ] = 1,
) -> None:
    """Take calls: webhooks, media streams and metrics on one port."""
    _silence_banner()
    from workers.entrypoints.serve import run_serve

    sys.exit(run_serve(agent=agent, host=host, port=port, processes=processes))


@app.command()
def up(
    agent: AgentOption = None,
    host: HostOption = "0.0.0.0",  # noqa: S104 - as in serve
    port: PortOption = 8080,
    concurrency: Annotated[
        int, typer.Option(help="Processes that dial and do what else campaigns need.", min=1)
    ] = 4,
) -> None:
    """Take calls and dial campaigns: server, Celery worker and beat, restarted when they die."""
    _silence_banner()
    from workers.entrypoints.up import run_up

    sys.exit(run_up(agent=agent, host=host, port=port, concurrency=concurrency))


@app.command(
    epilog="While a call goes on: evercall call say-to-agent. Afterwards: evercall call export. "
    "Each has a --help of its own."
)
def call(
    number: Annotated[str, typer.Argument(help="The number to call, as +15550100002.")],
    agent: AgentOption = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Caller ID; EVERCALL_PHONE_NUMBER by default.")
    ] = None,
    host: HostOption = "0.0.0.0",  # noqa: S104 - as in serve
    port: PortOption = 8080,
) -> None:
    """Place one outbound call and follow it to its end."""
    _silence_banner()
    from workers.entrypoints.outbound import run_outbound

    sys.exit(run_outbound(number, agent=agent, caller_id=from_, host=host, port=port))


@app.command("call say-to-agent")
def call_say_to_agent(
    call_sid: Annotated[
        str, typer.Argument(metavar="CALL", help="The call's SID, as logs and records name it.")
    ],
    text: Annotated[str, typer.Argument(help="What the agent is to know from now on.")],
    instruction: Annotated[
        bool,
        typer.Option("--instruction", help="TEXT replaces the agent's own instruction instead."),
    ] = False,
) -> None:
    """Tell the agent of a live call something the caller does not hear; say what became of it."""
    _silence_banner()
    from workers.entrypoints.say_to_agent import run_say_to_agent

    sys.exit(run_say_to_agent(call_sid, text, instruction=instruction))


@app.command("call export")
def call_export(
    call_sid: Annotated[
        str, typer.Argument(metavar="CALL", help="The call's SID, as logs and records name it.")
    ],
    format_: Annotated[
        ExportFormat,
        typer.Option("--format", help="json: all that is kept; text: to be read."),
    ] = ExportFormat.JSON,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write to this file, not to the terminal.")
    ] = None,
) -> None:
    """Write the record of a call: transcript, summary, moves, tools, tokens."""
    _silence_banner()
    from workers.entrypoints.export_call import run_export

    sys.exit(run_export(call_sid, as_text=format_ is ExportFormat.TEXT, out=out))


CallArgument = Annotated[
    str,
    typer.Argument(
        metavar="CALL", help="The call's SID; of a live call, its beginning or end will do."
    ),
]
NumbersOption = Annotated[bool, typer.Option("--numbers", help="Show phone numbers, too.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, one object to a line.")]


@calls_app.command("list")
def calls_list(
    all_: Annotated[
        bool, typer.Option("--all", help="The newest 50 calls, those that are over, too.")
    ] = False,
    workers: Annotated[
        bool,
        typer.Option("--workers", help="Look twice, 1.5 s apart: which workers do not live?"),
    ] = False,
    numbers: NumbersOption = False,
    as_json: JsonOption = False,
) -> None:
    """List live calls, who serves each, and the workers there are."""
    _silence_banner()
    from workers.entrypoints.calls.command import run_list

    sys.exit(run_list(ended_too=all_, numbers=numbers, as_json=as_json, workers=workers))


@calls_app.command("show")
def calls_show(
    call_sid: CallArgument, numbers: NumbersOption = False, as_json: JsonOption = False
) -> None:
    """Show all that is known of a call: workers, streams, moves, tools, what was said last."""
    _silence_banner()
    from workers.entrypoints.calls.command import run_show

    sys.exit(run_show(call_sid, numbers=numbers, as_json=as_json))


@calls_app.command("hand-over")
def calls_hand_over(
    call_sid: Annotated[
        str | None,
        typer.Argument(metavar="CALL", help="The call's SID, or its beginning or end."),
    ] = None,
    worker: Annotated[
        str | None, typer.Option("--worker", help="All calls of this worker, as list names it.")
    ] = None,
    within: Annotated[
        float | None,
        typer.Option("--within", min=0, help="Seconds to wait for a safe point; 30 by default."),
    ] = None,
) -> None:
    """Have another worker go on with a call, at a moment when nothing is to be heard of it."""
    if (call_sid is None) == (worker is None):
        raise typer.BadParameter("one of CALL and --worker is wanted")
    _silence_banner()
    from workers.entrypoints.calls.command import run_hand_over

    sys.exit(run_hand_over(call_sid, worker=worker, within_s=within))


@app.command()
def doctor(
    agent: AgentOption = None,
    point_number: Annotated[
        bool,
        typer.Option(
            "--point-number", help="Set EVERCALL_PHONE_NUMBER's webhooks to EVERCALL_PUBLIC_URL."
        ),
    ] = False,
) -> None:
    """Check keys, URL, webhook, certificate, clock and audio pacing; say how to mend each."""
    _silence_banner()
    from workers.entrypoints.doctor import run_doctor

    sys.exit(run_doctor(agent=agent, point_number=point_number))


@agent_app.command("check")
def agent_check(file: Annotated[Path, typer.Argument(help="The agent's YAML file.")]) -> None:
    """Name file, line and field of everything that is wrong in an agent's file."""
    from workers.entrypoints.agent_check import run_agent_check

    sys.exit(run_agent_check(file))


@campaign_app.command("check")
def campaign_check(file: Annotated[Path, typer.Argument(help="The campaign's YAML file.")]) -> None:
    """Name what is wrong in a campaign's file, and say what its contacts come to; dials nobody."""
    from datetime import UTC, datetime

    from workers.entrypoints.campaign_check import run_campaign_check

    sys.exit(run_campaign_check(file, now=datetime.now(UTC)))


register_campaign_commands(app, campaign_app)
register_campaign_looking(campaign_app)


def _has_desktop() -> bool:
    """Whether somebody looks, and at more than a terminal, where a browser would take it over."""
    return sys.stdout.isatty() and (
        sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    )


def _silence_banner() -> None:
    # Pipecat greets on stderr when it is imported; logs.py gives loguru its real target later.
    from loguru import logger

    logger.remove()


def main() -> None:
    """Run the command line."""
    app()
