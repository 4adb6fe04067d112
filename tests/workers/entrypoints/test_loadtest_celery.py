"""Load tests whose callers are tasks of Celery, on brokers and with workers of their own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes.rabbitmq import rabbitmq_server
from tests.fakes.redis import NoServerError, redis_server
from workers.entrypoints.loadtest_callers import Callers, Workers
from workers.entrypoints.loadtest_celery import link, relay
from workers.entrypoints.loadtest_celery.app import QUEUE, make_app
from workers.entrypoints.loadtest_celery.mail import LEADER, Mail
from workers.entrypoints.loadtest_made import Made
from workers.entrypoints.loadtest_sharded import sharded
from workers.entrypoints.loadtest_worker import own_worker
from workers.loadtest.errors import LoadTestError
from workers.loadtest.measured import Ending
from workers.loadtest.plan import Arrivals, LiveSide, Metric, Persona, Plan, Promise, Target
from workers.loadtest.stage import DEMO_ACCOUNT, ends_of, live_side
from workers.loadtest.validity import lost
from workers.settings import WorkerSettings, load_settings

PATIENCE_S = 60.0
NOBODY = "http://127.0.0.1:9"


@contextlib.contextmanager
def broker(kind: str, folder: Path) -> Iterator[WorkerSettings]:
    """Settings of a broker of one's own; those of the environment have none."""
    with contextlib.ExitStack() as stack:
        url = None
        try:
            if kind == "redis":
                url = stack.enter_context(redis_server()).url
            elif kind == "rabbitmq":
                url = stack.enter_context(rabbitmq_server()).url
        except NoServerError as error:
            pytest.skip(str(error))
        yield settings_of(url, folder)


def settings_of(url: str | None, folder: Path) -> WorkerSettings:
    return load_settings(
        None,
        broker_url=url,
        twilio_account_sid=DEMO_ACCOUNT.sid,
        twilio_auth_token=DEMO_ACCOUNT.auth_token,
        data_dir=folder / "data",
    )


@contextlib.contextmanager
def celery_workers(
    settings: WorkerSettings, count: int, folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """As on so many hosts; gives their processes once they listen."""
    url = settings.broker_url
    environment = {
        **{name: value for name, value in os.environ.items() if "EVERCALL" not in name},
        "EVERCALL_DATA_DIR": str(settings.data_dir),
        "EVERCALL_BROKER_URL": url.get_secret_value() if url else "",
        "TWILIO_ACCOUNT_SID": DEMO_ACCOUNT.sid,
        "TWILIO_AUTH_TOKEN": DEMO_ACCOUNT.auth_token,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        # Tests run as root, which Celery warns of.
        "PYTHONWARNINGS": "ignore",
    }
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            with (folder / f"celery-{number}.log").open("wb") as log:
                running.append(
                    subprocess.Popen(
                        [
                            *(sys.executable, "-m", "celery"),
                            *("-A", "workers.entrypoints.loadtest_celery.main", "worker"),
                            *("-Q", QUEUE, "-c", "1", "-n", f"host{number}@test"),
                            *("--without-gossip", "--without-mingle"),
                        ],
                        env=environment,
                        cwd=folder,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        app = make_app(settings)
        deadline_s = time.monotonic() + PATIENCE_S
        while len(app.control.inspect(timeout=1.0).active_queues() or ()) < count:
            assert time.monotonic() < deadline_s, (folder / "celery-0.log").read_text()
        yield running
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.asynccontextmanager
async def target(folder: Path) -> AsyncIterator[str]:
    """A worker that runs already, with a model of its own."""
    model = Plan(arrivals=Arrivals(calls=4), call_s=60.0)
    start = own_worker(model, log=folder / "worker.log", settings=load_settings(None))
    async with live_side(model) as live, start(ends_of(DEMO_ACCOUNT, NOBODY, live)) as worker:
        yield worker.voice_url


def plan_of(voice_url: str, calls: int, hold_s: float) -> Plan:
    return Plan(
        target=Target(voice_url=voice_url),
        live=LiveSide.SERVICE,
        arrivals=Arrivals(calls=calls, hold_s=hold_s, rise_s=0.5),
        call_s=hold_s,
        personas={Persona.TALK: 1.0},
        promises=(Promise(Metric.REFUSED, None, 0.0), Promise(Metric.DROPPED, None, 0.0)),
    )


async def make(
    plan: Plan, out: Path, settings: WorkerSettings, *, shards: int | None = None
) -> tuple[Made, str]:
    written = io.StringIO()
    maker = sharded(plan, Callers(shards, Workers.CELERY))
    return await maker(plan, out, settings, Console(file=written)), written.getvalue()


@pytest.mark.real_time
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
async def test_two_workers_make_one_test(kind: str, tmp_path: Path) -> None:
    """Each worker that answers makes its part; nothing of the test is left at the broker."""
    with broker(kind, tmp_path) as settings, celery_workers(settings, 2, tmp_path):
        async with target(tmp_path) as url:
            made, _ = await make(plan_of(url, 4, 9.0), tmp_path / "out", settings)
        letters = left_over(settings)
    result = made.result
    numbers = [call.number for call in result.calls]
    assert numbers[:4] == [1, 2, 3, 4]
    assert [one.name.partition(" on ")[0] for one in result.generators] == [
        "callers 1 of 2",
        "callers 2 of 2",
    ]
    assert all(one.calls >= 2 and one.slip.frames > 300 for one in result.generators)
    assert lost(result) == ""
    first = [call for call in result.calls if call.number <= 4]
    assert {call.ending for call in first} == {Ending.COMPLETED}, [one.reason for one in first]
    assert any(call.answers for call in first)
    assert max(call.calls_at_once for call in result.calls) == 4
    assert max(sample.calls for sample in result.samples) >= 3
    assert made.wavs
    assert all(file.read_bytes().startswith(b"RIFF") for file in made.wavs.values())
    assert letters == []


def left_over(settings: WorkerSettings) -> list[str]:
    """What a test has left at the broker, where it lets itself be asked."""
    if settings.broker_url is not None and "amqp" in settings.broker_url.get_secret_value():
        return []
    if settings.broker_url is None:
        folder = settings.data_dir / "queue"
        return [str(path) for path in folder.rglob("*evercall.loadtest.*")]
    connection = make_app(settings).connection_for_read()
    with connection:
        return [str(key) for key in connection.default_channel.client.keys("*evercall.loadtest*")]


@pytest.mark.real_time
@pytest.mark.timeout(240)
async def test_worker_that_dies_is_named_and_the_test_ends(tmp_path: Path) -> None:
    """In bounded time; what there was is kept, and is no test that was planned."""
    with broker("redis", tmp_path) as settings, celery_workers(settings, 2, tmp_path) as workers:
        async with target(tmp_path) as url:
            plan = plan_of(url, 2, 120.0)
            making = asyncio.create_task(make(plan, tmp_path / "out", settings, shards=2))
            await under_way(making, tmp_path)
            os.killpg(workers[1].pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                made, _ = await making
    why = lost(made.result)
    assert "has not been heard of for 15 s" in why
    assert [bool(one.lost) for one in made.result.generators].count(True) == 1
    assert [call.ending for call in made.result.calls] == [Ending.STOPPED]
    assert not made.result.broken_off


@pytest.mark.real_time
@pytest.mark.timeout(240)
async def test_broker_that_dies_ends_the_test(tmp_path: Path) -> None:
    """Nobody can be heard any more; what was told before is kept."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here")
    with redis_server() as server:
        settings = settings_of(server.url, tmp_path)
        with celery_workers(settings, 1, tmp_path):
            async with target(tmp_path) as url:
                plan = plan_of(url, 2, 120.0)
                making = asyncio.create_task(make(plan, tmp_path / "out", settings))
                await under_way(making, tmp_path)
                server.kill()
                async with asyncio.timeout(60):
                    made, _ = await making
                log = tmp_path / "worker.log"
                async with asyncio.timeout(40):
                    while log.read_text().count("stream.ended") < 2:  # noqa: ASYNC110  a log
                        await asyncio.sleep(0.2)
    assert "cannot be heard any more: the broker is gone" in lost(made.result)


@pytest.mark.real_time
@pytest.mark.timeout(240)
async def test_ctrl_c_ends_calls_everywhere(tmp_path: Path) -> None:
    """Every caller hangs up, and is measured."""
    with broker("redis", tmp_path) as settings, celery_workers(settings, 2, tmp_path):
        async with target(tmp_path) as url:
            plan = plan_of(url, 2, 120.0)
            making = asyncio.create_task(make(plan, tmp_path / "out", settings))
            await under_way(making, tmp_path)
            os.kill(os.getpid(), signal.SIGINT)
            async with asyncio.timeout(60):
                made, told = await making
    assert "Broken off" in told
    assert made.result.broken_off
    assert [call.ending for call in made.result.calls] == [Ending.STOPPED] * 2
    assert lost(made.result) == ""


async def under_way(making: asyncio.Task[tuple[Made, str]], folder: Path) -> None:
    """Until the worker under test has two calls."""
    log = folder / "worker.log"
    async with asyncio.timeout(PATIENCE_S):
        while not making.done() and log.read_text().count("stream.started") < 2:  # noqa: ASYNC110  a log
            await asyncio.sleep(0.2)
    assert not making.done(), making.result()
    await asyncio.sleep(2.0)


async def test_no_worker_listens(tmp_path: Path) -> None:
    """It says how one is started, and makes no task that would be taken some time."""
    with broker("embedded", tmp_path) as settings:
        async with nobody() as url:
            with pytest.raises(LoadTestError, match=r"No worker of Celery listens .* -Q loadtest"):
                await make(plan_of(url, 2, 9.0), tmp_path / "out", settings)
        assert not list((settings.data_dir / "queue").rglob("*.msg"))


async def test_broker_that_is_not_there(tmp_path: Path) -> None:
    """Without the password in its address."""
    settings = load_settings(
        None, data_dir=tmp_path, broker_url="redis://user:secret@127.0.0.1:9/0"
    )
    async with nobody() as url:
        with pytest.raises(LoadTestError, match=r"The broker at .* cannot be reached") as found:
            await make(plan_of(url, 2, 9.0), tmp_path / "out", settings)
    assert "secret" not in str(found.value)


@pytest.mark.timeout(240)
async def test_shard_that_nobody_takes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the workers there are; nobody calls."""
    monkeypatch.setattr(link, "PREPARE_S", 12.0)
    with broker("embedded", tmp_path) as settings, celery_workers(settings, 1, tmp_path):
        async with nobody() as url:
            with pytest.raises(LoadTestError) as found:
                await make(plan_of(url, 2, 9.0), tmp_path / "out", settings, shards=2)
        assert "was not ready within 12 s. Workers that answered: host0@test." in str(found.value)
        assert left_over(settings) == []


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    """A target that is there, and answers nothing."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bot"


def test_task_without_a_letter_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its test is over, or somebody else has its shard."""
    monkeypatch.setattr(relay, "_TAKE_S", 0.3)
    monkeypatch.setattr(relay, "COMMAND", ("/no/such/program",))
    with broker("embedded", tmp_path) as settings:
        relay.relay(make_app(settings), "0123", 0)


@pytest.mark.parametrize("kind", ["embedded", "redis", "rabbitmq"])
def test_letters_come_in_order_and_once(kind: str, tmp_path: Path) -> None:
    """On every broker; what is taken away is gone, also for letters that come later."""
    with broker(kind, tmp_path) as settings:
        app = make_app(settings)
        with (
            Mail(app.connection_for_write(), "a") as out,
            Mail(app.connection_for_read(), "a") as in_,
            Mail(app.connection_for_read(), "b") as other,
        ):
            assert in_.get(LEADER) is None
            for number in range(20):
                out.put(LEADER, {"number": number, "text": "é" * 1000})
            letters = [in_.get(LEADER, wait_s=5.0) or {} for _ in range(20)]
            assert [letter["number"] for letter in letters] == list(range(20))
            assert in_.get(LEADER, wait_s=0.3) is None
            assert other.get(LEADER) is None
            out.put(LEADER, {"number": 20})
            in_.remove(LEADER)
            out.put(LEADER, {"number": 21})
        with Mail(app.connection_for_read(), "a") as again:
            assert again.get(LEADER, wait_s=0.3) is None
