"""``evercall call``: place one call, serve it in this process, and follow it to its end."""

from __future__ import annotations

import asyncio
import errno
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import uvloop
from rich.console import Console

from agent.errors import AgentSpecError, LiveConnectRefused
from agent.spec import AgentSpec
from telephony.calls.rest import TwilioRest
from telephony.errors import CarrierError, OutcomeUnknown, Verdict
from telephony.settings import MEDIA_PATH
from workers.dashboard.console import CallConsole
from workers.entrypoints.checks.finding import Outcome
from workers.entrypoints.checks.public_url import check_media, check_worker
from workers.entrypoints.complaint import complain
from workers.entrypoints.outbound_call import OutboundCall
from workers.entrypoints.serve import named_agent
from workers.entrypoints.worker import Worker, run_worker
from workers.logs import LogPipe, start_logs
from workers.settings import SettingsError, WorkerSettings, load_settings

# ITU-T E.164: a plus, no leading zero, at most 15 digits.
_E164 = re.compile(r"\+[1-9]\d{6,14}")
# What shells say of a command that was interrupted: 128 and SIGINT.
_INTERRUPTED = 130
_MEND_SETTINGS = 2


class CannotCall(Exception):
    """Nobody was called, and why, in one line."""


def run_outbound(
    number: str, *, agent: Path | None, caller_id: str | None, host: str, port: int
) -> int:
    """Call a number; the exit code is 0 where it was answered and the call ended in order.

    1: not answered, or something broke. 2: a setting, the agent's file or the command is wrong.
    130: interrupted; the call was hung up.
    """
    try:
        settings = load_settings(agent=agent)
        spec = named_agent(settings)
        caller_id = _checked_numbers(number, caller_id or settings.phone_number)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        # The terminal is the call's.
        log = (settings.data_dir / "call.log").open("a", encoding="utf-8")
    except (SettingsError, AgentSpecError, CannotCall, OSError) as error:
        return complain(error)
    with log:
        logs = start_logs(settings.log_level, stream=log, console=False)
        try:
            return uvloop.run(
                _call(settings, spec, number, caller_id, host=host, port=port, logs=logs)
            )
        except (SettingsError, AgentSpecError, LiveConnectRefused, CannotCall, OSError) as error:
            return complain(error)
        except CarrierError as error:
            complain(error)
            return _MEND_SETTINGS if error.verdict is Verdict.MEND_SETTINGS else 1
        except asyncio.CancelledError:
            return _INTERRUPTED
        finally:
            logs.close()


async def place_call(
    settings: WorkerSettings,
    spec: AgentSpec,
    number: str,
    caller_id: str,
    *,
    host: str,
    port: int,
    console: Console,
    stop: asyncio.Event,
    logs: LogPipe | None = None,
) -> int:
    """Serve, dial and follow; returns the exit code.

    Raises:
        CannotCall, SettingsError, AgentSpecError, LiveConnectRefused: nobody was called.
        CarrierError: Twilio did not dial; ``OutcomeUnknown``: perhaps it did.
    """
    told = CallConsole(console)
    async with _listening(settings, spec, host=host, port=port, logs=logs) as worker:
        await _check_reachable(settings, worker)
        if stop.is_set():
            return _INTERRUPTED
        async with TwilioRest(settings.twilio()) as rest:
            told.ring(f"{spec.name} calls {number} from {caller_id}")
            try:
                call = await rest.dial(number, from_=caller_id)
            except OutcomeUnknown as error:
                text = f"{error}; look at Twilio's console whether the call goes on"
                raise OutcomeUnknown(text, code=error.code, status=error.status) from error
            ending = await OutboundCall(call, worker=worker, rest=rest, told=told).follow(stop)
    if stop.is_set():
        return _INTERRUPTED
    if not ending.in_order:
        told.saved("log", settings.data_dir / "call.log")
    return 0 if ending.in_order else 1


async def _call(
    settings: WorkerSettings,
    spec: AgentSpec,
    number: str,
    caller_id: str,
    *,
    host: str,
    port: int,
    logs: LogPipe,
) -> int:
    stop = asyncio.Event()
    with _interrupts(stop):
        return await place_call(
            settings,
            spec,
            number,
            caller_id,
            host=host,
            port=port,
            console=Console(),
            stop=stop,
            logs=logs,
        )


@contextmanager
def _interrupts(stop: asyncio.Event) -> Iterator[None]:
    """Ctrl-C hangs up; a second one does not wait for it."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def caught() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, caught)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _checked_numbers(number: str, caller_id: str | None) -> str:
    """The caller ID, where both numbers can be used."""
    if caller_id is None:
        raise CannotCall("EVERCALL_PHONE_NUMBER: is not set, and no --from was given")
    for name, value in (("NUMBER", number), ("--from", caller_id)):
        if not _E164.fullmatch(value):
            raise CannotCall(
                f"{name}: must be a number in E.164 form, such as +15550100002, got {value!r}"
            )
    if number == caller_id:
        raise CannotCall("NUMBER: is the caller ID itself")
    return caller_id


@asynccontextmanager
async def _listening(
    settings: WorkerSettings, spec: AgentSpec, *, host: str, port: int, logs: LogPipe | None
) -> AsyncIterator[Worker]:
    async with AsyncExitStack() as stack:
        try:
            worker = await stack.enter_async_context(
                run_worker(settings, spec, host=host, port=port, logs=logs)
            )
        except OSError as error:
            if error.filename is not None:
                raise CannotCall(f"{error.filename}: {error.strerror}") from error
            in_use = error.errno == errno.EADDRINUSE
            hint = "; `evercall serve` may run there, give another --port" if in_use else ""
            why = "is in use" if in_use else f"cannot be listened on: {error.strerror}"
            raise CannotCall(f"{host}:{port}: {why}{hint}") from error
        yield worker


async def _check_reachable(settings: WorkerSettings, worker: Worker) -> None:
    """Nobody shall pick up a phone only to hear that an application error has occurred."""
    address, ca_file = settings.public_url or "", settings.ssl_cert_file
    port = worker.server.port
    before = _strangers(worker)
    for finding in [
        *await check_worker(address, ca_file),
        *await check_media(settings.twilio(), ca_file),
    ]:
        if finding.outcome is Outcome.FAIL:
            raise CannotCall(
                f"EVERCALL_PUBLIC_URL: {finding.text}; let the tunnel or proxy lead to port "
                f"{port}. Nobody was called"
            )
    if _strangers(worker) == before:
        raise CannotCall(
            f"EVERCALL_PUBLIC_URL: {address} leads to another worker, not to this one on port "
            f"{port}. Nobody was called"
        )


def _strangers(worker: Worker) -> float:
    """How many upgrades this worker has refused: the check's is one, if it came here."""
    labels = {"route": MEDIA_PATH, "reason": "signature"}
    name = "evercall_requests_refused_total"
    return worker.metrics.registry.get_sample_value(name, labels) or 0.0
