"""Whole load tests of a few calls: over real sockets, against a worker in processes of its own."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import active_children
from pathlib import Path

import pytest

from tests.workers.loadtest.bridged import LINE, NUMBER, RANG_AT, Bridge, make_call, session_log
from workers.entrypoints.loadtest_worker import own_worker
from workers.loadtest import measuring, run
from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import CallMeasured, Ending
from workers.loadtest.measuring import Ended, Measuring, measure_ended
from workers.loadtest.plan import Arrivals, Faults, LineTrouble, Persona, Plan, Target
from workers.loadtest.run import LoadRun
from workers.loadtest.stage import staged
from workers.loadtest.under_test import Ends, StartWorker, UnderTest, given_target
from workers.loadtest.wavs import SlowestWavs
from workers.settings import load_settings
from workers.twin.twilio_api.result import CallResult

NOBODY = "http://127.0.0.1:9/voice"
"""The discard port: nobody listens there."""


class Here:
    """Measures in a thread: no process has to be started."""

    async def measure(self, ended: Ended) -> CallMeasured:
        return await asyncio.to_thread(measure_ended, ended)


def found(worker: UnderTest) -> StartWorker:
    @asynccontextmanager
    async def start(_ends: Ends) -> AsyncIterator[UnderTest]:
        yield worker

    return start


def plan_of(calls: int, hold_s: float, **fields: object) -> Plan:
    arrivals = Arrivals(calls=calls, hold_s=hold_s, rise_s=0.5)
    return Plan(arrivals=arrivals, call_s=hold_s, **fields)  # type: ignore[arg-type]


def own(plan: Plan, folder: Path) -> StartWorker:
    return own_worker(plan, log=folder / "worker.log", settings=load_settings(env_file=None))


@pytest.mark.real_time
async def test_calls_are_made_measured_and_the_worker_is_looked_at(tmp_path: Path) -> None:
    """Each caller is answered, their frames are counted at both ends, and nothing is left over."""
    plan = plan_of(2, 7.0, lines={LineTrouble.NOISY: 1.0})
    async with staged(plan, own(plan, tmp_path)) as stage, Measuring() as measuring:
        wavs = SlowestWavs(tmp_path / "calls")
        run = LoadRun(plan, stage, measuring, wavs=wavs)
        result = await run.run()
        assert not stage.twilio.live_calls
        assert stage.sessions is not None
        assert await stage.sessions.take(1) == []
        assert not stage.twilio.find_call(result.calls[0].sid).line.party.spoken
        progress = run.progress
    assert [call.number for call in result.calls] == list(range(1, len(result.calls) + 1))
    first = result.calls[0]
    assert len(result.calls) >= 2
    assert first.ending is Ending.COMPLETED, first.reason
    assert first.lines == (LineTrouble.NOISY,)
    assert first.answers[0].model_ms is not None
    assert first.answers[0].delay_ms > first.answers[0].model_ms
    assert first.caller_frames.sent > 200
    assert first.agent_frames.sent > 100
    assert progress.ended == len(result.calls)
    assert progress.running == progress.waiting == progress.refused == 0
    assert set(wavs.files) <= {call.number for call in result.calls}
    assert all(file.stat().st_size > 50_000 for file in wavs.files.values())
    assert result.samples[-1].cpu_s > result.samples[0].cpu_s > 0
    assert max(sample.calls for sample in result.samples) == 2
    assert any(sample.loop_lag_ms is not None for sample in result.samples)
    assert result.slip.frames > 300
    assert result.machine.cores >= 1
    assert not result.broken_off


@pytest.mark.real_time
async def test_test_that_is_broken_off_hangs_up_and_measures_what_there_was(
    tmp_path: Path,
) -> None:
    """No call begins any more, every caller hangs up, and the worker has none left."""
    plan = plan_of(2, 600.0, personas={Persona.SILENT: 1.0})
    async with staged(plan, own(plan, tmp_path)) as stage:
        run = LoadRun(plan, stage, Here())
        running = asyncio.create_task(run.run())
        async with asyncio.timeout(30):
            while len(stage.twilio.live_sockets) < 2:  # noqa: ASYNC110  sockets tell nobody
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        run.break_off()
        run.break_off()
        async with asyncio.timeout(30):
            result = await running
        assert not stage.twilio.live_sockets
    assert result.broken_off
    assert [call.ending for call in result.calls] == [Ending.STOPPED] * 2
    assert all(call.answered_s is not None for call in result.calls)
    assert all(1.0 < call.duration_s < 60 for call in result.calls)


async def test_worker_that_is_gone_refuses_every_call() -> None:
    """Callers say so, the test goes on to its end, and there is nothing to look at."""
    plan = plan_of(2, 1.5)
    async with staged(plan, found(UnderTest(NOBODY))) as stage:
        result = await LoadRun(plan, stage, Here()).run()
    assert len(result.calls) >= 2
    assert {call.ending for call in result.calls} == {Ending.REFUSED}
    assert all(call.reason for call in result.calls)
    assert result.samples == ()


async def test_processes_are_killed_in_turn_while_there_is_another() -> None:
    """The last one is left: without it calls would end, which proves nothing."""
    sleeping = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(3)]  # noqa: ASYNC220
    try:

        def alive() -> Sequence[int]:
            return [process.pid for process in sleeping if process.poll() is None]

        plan = plan_of(1, 1.5, faults=Faults(kills_every_s=0.3))
        async with staged(plan, found(UnderTest(NOBODY, pids=alive))) as stage:
            result = await LoadRun(plan, stage, Here()).run()
        assert len(alive()) == 1
        assert len(result.kills_s) == 2
        assert 0.3 <= result.kills_s[0] < result.kills_s[1] < result.took_s
    finally:
        for process in sleeping:
            process.kill()
            process.wait()


async def test_sound_that_cannot_be_kept_does_not_end_the_test() -> None:
    """A disk may be full by then; what was measured is told."""

    class Full(SlowestWavs):
        def offer(self, measured: CallMeasured, result: CallResult) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    plan = plan_of(1, 1.0)
    async with staged(plan, found(UnderTest(NOBODY))) as stage:
        result = await LoadRun(plan, stage, Here(), wavs=Full(Path("nowhere"))).run()
    assert result.calls


@pytest.mark.parametrize("kept", [0, 1_000])
async def test_few_calls_are_not_held_up_by_full_garbage_collections(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """They stop everybody for a while; what many calls leave would be too much to keep."""
    monkeypatch.setattr(run, "_CALLS_KEPT", kept)
    before = gc.get_threshold()
    during: list[tuple[int, int, int]] = []
    plan = plan_of(1, 1.0)
    async with staged(plan, found(UnderTest(NOBODY))) as stage:
        await LoadRun(
            plan, stage, Here(), on_measured=lambda _call: during.append(gc.get_threshold())
        ).run()
    assert [now[2] > before[2] for now in during] == [kept > 0]
    assert gc.get_threshold() == before


async def test_measuring_that_fails_ends_the_test() -> None:
    """Calls that nobody measures would be missing from every figure."""

    class Dead:
        async def measure(self, _ended: Ended) -> CallMeasured:
            raise LoadTestError("The process that measures the calls has died.")

    plan = plan_of(1, 30.0)
    async with staged(plan, found(UnderTest(NOBODY))) as stage:
        with pytest.raises(LoadTestError, match="has died"):
            await LoadRun(plan, stage, Dead()).run()


async def test_measuring_that_does_not_start_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host without room for another process, say."""
    monkeypatch.setattr(measuring, "_settle", partial(os._exit, 1))
    with pytest.raises(LoadTestError, match="does not start"):
        async with Measuring():
            raise AssertionError("it started")


async def test_measuring_goes_on_where_all_are_told_to_end() -> None:
    """A supervisor tells every process of a command; what was made is still measured."""
    async with Measuring() as pool:
        for process, number in product(active_children(), (signal.SIGINT, signal.SIGTERM)):
            assert process.pid is not None
            os.kill(process.pid, number)
        ended = Ended(make_call(Bridge(), lasts_s=4.0).result, 1, Persona.TALK, (), 0.0, 1, 7000.0)
        assert (await pool.measure(ended)).number == 1


async def test_call_is_measured_alike_in_another_process() -> None:
    """Its connections go there one by one, and are those of this call alone."""
    calls = [make_call(Bridge(uplink_s=uplink_s)) for uplink_s in (0.02, 0.1)]
    ended = [
        Ended(
            one.result,
            number,
            Persona.TALK,
            (),
            0.0,
            1,
            RANG_AT,
            sessions=(replace(one.log, setup=session_log(number).setup), session_log(None)),
            model_lines=(LINE,),
        )
        for number, one in enumerate(calls, start=NUMBER)
    ]
    async with Measuring() as pool:
        measured = await asyncio.gather(*map(pool.measure, ended))
    assert measured == [measure_ended(one) for one in ended]
    assert [one.answers[0].delay_ms for one in measured] == [650, 730]
    assert all(one.caller_frames.sent for one in measured)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (NOBODY, "cannot be reached: the connection was refused"),
        ("http://no-such-host.invalid/voice", "cannot be reached"),
        ("ftp://127.0.0.1/voice", "is no address"),
        ("http://127.0.0.1:99999", "is no address"),
        ("http://bot..example/voice", "is no address"),
        (f"http://{'b' * 64}.example/voice", "is no address"),
    ],
)
async def test_target_that_cannot_be_reached_is_told_in_a_sentence(url: str, why: str) -> None:
    """Before any call is made."""
    plan = plan_of(1, 1.0, target=Target(voice_url=url))
    with pytest.raises(LoadTestError, match=why):
        async with staged(plan, given_target(url)):
            raise AssertionError("it was found")


async def test_target_without_a_path_is_an_evercall_worker() -> None:
    """Its webhooks and its page are known."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ends = Ends("AC0", "token", "http://127.0.0.1:1")
    async with server, given_target(base)(ends) as worker:
        assert worker.voice_url == f"{base}/voice"
        assert worker.status_url == f"{base}/voice/status"
        assert worker.metrics_url == f"{base}/metrics"
        assert worker.pids() == ()
    async with given_target_of_others() as other:
        assert other.status_url == ""


@asynccontextmanager
async def given_target_of_others() -> AsyncIterator[UnderTest]:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bot/answer"
    ends = Ends("AC0", "token", "http://127.0.0.1:1")
    async with server, given_target(url)(ends) as worker:
        assert worker.voice_url == url
        yield worker
