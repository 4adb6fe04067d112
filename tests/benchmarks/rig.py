"""One bot on one core and its far ends on the other, started, driven and stopped as one thing."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import certifi
import httpx
import trustme

BotName = Literal["stock", "evercall"]

MAX_SLIP_MS = 5.0
MIN_CARRIED = 0.98  # of the audio that went in; what is under way at the edges of a window is less

_ACCOUNT_SID = "AC" + "0" * 32
_AUTH_TOKEN = "benchmark-token"
_PUBLIC_URL = "https://bench.example"
_ROOT = Path(__file__).parents[2]
_AGENT = Path(__file__).with_name("agent.yaml")


class NotMeasured(Exception):
    """The run says nothing about the bot: calls were lost or the far end was late itself."""


class Overloaded(NotMeasured):
    """The bot did not carry the audio of this many calls."""


@dataclass(slots=True)
class Rig:
    """A running bot with its far ends."""

    bot: subprocess.Popen[bytes]
    far_end: subprocess.Popen[str]
    core: int = 0
    ready_s: float = 0.0
    """From the bot's start until it takes calls."""
    url: str = ""
    """Where the bot answers."""

    def ask(self, **command: Any) -> dict[str, Any]:
        """Have the far end do something and wait for it."""
        assert self.far_end.stdin is not None
        assert self.far_end.stdout is not None
        self.far_end.stdin.write(json.dumps(command) + "\n")
        self.far_end.stdin.flush()
        line = self.far_end.stdout.readline()
        if not line:
            raise NotMeasured("the far end died")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            ended = self.bot.poll()
            state = "runs" if ended is None else f"ended with code {ended}"
            raise NotMeasured(f"{command['do']}: {answer['error']}; the bot {state}")
        return answer

    def cpu_s(self) -> float:
        """CPU time of the bot's process so far, all threads, to the nanosecond."""
        return _cpu_s(self.bot.pid)

    def children_cpu_s(self) -> dict[int, float]:
        """The same of each process that the bot has started, by pid."""
        threads = Path(f"/proc/{self.bot.pid}/task").iterdir()
        children = [int(pid) for each in threads for pid in (each / "children").read_text().split()]
        return {pid: _cpu_s(pid) for pid in children}

    def core_busy_s(self) -> float:
        """Time so far in which anybody used the bot's core."""
        lines = Path("/proc/stat").read_text().splitlines()
        line = next(line for line in lines if line.startswith(f"cpu{self.core} "))
        # proc(5): user, nice, system, idle, iowait, irq, softirq, steal, ...
        ticks = [int(field) for field in line.split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Resident memory of the bot's process."""
        lines = Path(f"/proc/{self.bot.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024


def judge(window: dict[str, Any]) -> None:
    """Refuse a window in which the far end was late or the bot did not carry the audio.

    Raises:
        NotMeasured: The far end was late, or sockets were lost.
        Overloaded: Audio is missing at the other end.
    """
    slip = window["slip_ms"]["p95"]
    if slip > MAX_SLIP_MS:
        raise NotMeasured(f"the far end's own timer was {slip:.1f} ms late (p95)")
    if window["lost"]:
        raise NotMeasured(f"{window['lost']} sockets of {window['calls']} calls were lost")
    carried = min(window["carried_up"], window["carried_down"])
    if carried < MIN_CARRIED:
        raise Overloaded(f"only {carried:.0%} of the audio came out at the other end")


@contextlib.contextmanager
def rig(
    name: BotName,
    *,
    log: Path | None = None,
    agent: Path = _AGENT,
    far_end: str = "tests.benchmarks.far_end",
    options: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Rig]:
    """Start one bot and its far ends; stop both at the end.

    Args:
        name: Which bot.
        log: Where the bot's output goes; nowhere by default.
        agent: The file of evercall's agent.
        far_end: The module that plays the far ends.
        options: More of them for the bot's command.
        settings: More of them for its environment.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise NotMeasured("needs two cores, one for the bot and one for the far ends")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evercall-bench-")))
        output = stack.enter_context(Path(log or os.devnull).open("ab"))
        certificate, key, trust = _certificates(folder)
        far_ends = stack.enter_context(
            _process(
                [sys.executable, "-m", far_end],
                core=cores[-1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        # The harness itself sleeps while it measures; what it does need it takes there.
        os.sched_setaffinity(0, {cores[-1]})
        stack.callback(os.sched_setaffinity, 0, set(cores))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        listening = Rig(bot=far_ends, far_end=far_ends).ask(
            do="listen", certificate=str(certificate), key=str(key)
        )
        live = f"https://127.0.0.1:{listening['port']}"
        command, environment = _bot(name, port, live, folder, agent)
        began = time.monotonic()
        bot = stack.enter_context(
            _process(
                [*command, *options],
                core=cores[0],
                stdout=output,
                stderr=output,
                env={
                    **os.environ,
                    "SSL_CERT_FILE": str(trust),
                    **environment,
                    **(settings or {}),
                },
            )
        )
        # The stock bot has no page that says so; once it listens it takes calls.
        url = f"http://127.0.0.1:{port}"
        _wait_for_answer(bot, f"{url}/readyz")
        running = Rig(bot, far_ends, core=cores[0], ready_s=time.monotonic() - began, url=url)
        running.ask(
            do="line",
            host="127.0.0.1",
            port=port,
            public_url=_PUBLIC_URL,
            account_sid=_ACCOUNT_SID,
            auth_token=_AUTH_TOKEN,
        )
        yield running


def _bot(
    name: BotName, port: int, live: str, folder: Path, agent: Path
) -> tuple[list[str], dict[str, str]]:
    if name == "stock":
        return [sys.executable, "-m", "tests.benchmarks.stock_bot", str(port), live], {}
    command = ["serve", "--host", "127.0.0.1", "--port", str(port), "--agent", str(agent)]
    return [str(Path(sys.executable).with_name("evercall")), *command], {
        "EVERCALL_PUBLIC_URL": _PUBLIC_URL,
        "EVERCALL_DATA_DIR": str(folder / "data"),
        "EVERCALL_MAX_CALLS": "1000",
        "EVERCALL_DATABASE_URL": f"sqlite:///{folder / 'calls.sqlite3'}",
        "GOOGLE_API_KEY": "test-key",
        "GOOGLE_GEMINI_BASE_URL": live,
        "TWILIO_ACCOUNT_SID": _ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": _AUTH_TOKEN,
    }


def _certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Certificate and key for 127.0.0.1, and what the bot shall trust.

    The usual authorities stay in: a real worker loads them, once or for every call.
    """
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    certificate, key, trust = (folder / each for each in ("live.pem", "live.key", "trust.pem"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    key.write_bytes(server.private_key_pem.bytes())
    trust.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    return certificate, key, trust


@contextlib.contextmanager
def _process(
    command: list[str], *, core: int, env: dict[str, str] | None = None, **pipes: Any
) -> Iterator[subprocess.Popen[Any]]:
    process: subprocess.Popen[Any] = subprocess.Popen(
        command,
        cwd=_ROOT,
        env=env,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        **pipes,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        pipe: IO[Any] | None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _cpu_s(pid: int) -> float:
    # The clock of another process, see clock_getcpuclockid(3): its number holds the pid.
    return time.clock_gettime((~pid << 3) | 2)


def _wait_for_answer(bot: subprocess.Popen[bytes], url: str, timeout_s: float = 30) -> None:
    """Ask a page until it is there, or is said not to exist."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if bot.poll() is not None:
            raise NotMeasured(f"the bot ended at its start with code {bot.returncode}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=1).status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND):
                return
        time.sleep(0.02)
    raise NotMeasured("the bot takes no calls")
