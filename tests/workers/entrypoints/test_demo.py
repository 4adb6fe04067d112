"""``evercall demo`` as a newcomer runs it: one command, one call, one folder."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path
from typing import Any

import psutil

CALL_S = 100.0


async def run(out: Path, *options: str, timeout_s: float = CALL_S) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from workers.entrypoints.cli import main; main()",
        "demo",
        "--out",
        str(out),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(timeout_s):
        told, _ = await process.communicate()
    return process.returncode, told.decode()


async def test_demo_makes_a_call_and_leaves_everything_in_one_folder(tmp_path: Path) -> None:
    """It tells the call to its end, and keeps recording, transcript, record and page of it."""
    out = tmp_path / "demo"
    code, told = await run(out)
    assert code == 0, told
    for line in ("answered", "barge-in", "order_status", "Thank you for calling", "hung up"):
        assert line in told
    record: dict[str, Any] = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["end_reason"] == "agent_hung_up"
    assert [tool["name"] for tool in record["tools"]] == ["order_status", "end_call"]
    assert [digit["digit"] for digit in record["digits"]] == ["7"]
    assert len(record["barge_ins"]) == 1
    hours = next(turn for turn in record["turns"] if "seven in the morning" in turn["said"])
    assert hours["interrupted"]
    assert hours["said"].startswith(hours["heard"])
    assert len(hours["heard"]) < len(hours["said"])
    transcript = (out / "transcript.txt").read_text(encoding="utf-8")
    assert "not heard" in transcript
    assert hours["heard"][:40] in transcript
    with wave.open(str(out / "call.wav")) as recording:
        assert (recording.getnchannels(), recording.getframerate()) == (2, 8_000)
        assert abs(recording.getnframes() / 8_000 - record["ended_s"]) < 1.0
    page = (out / "call.html").read_text(encoding="utf-8")
    assert "order_status" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


async def test_demo_with_resets_moves_three_times_and_says_so(tmp_path: Path) -> None:
    """At a safe point, by force, abruptly; each has its report, and nobody is greeted again."""
    out = tmp_path / "demo"
    code, told = await run(out, "--resets")
    assert code == 0, told
    record: dict[str, Any] = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["end_reason"] == "agent_hung_up"
    moves = record["moves"]
    assert [move["moment"] for move in moves] == ["safe_point", "forced", "abrupt"]
    assert [move["lost_ms"] for move in moves] == [0, 0, 0]
    assert moves[0]["gap_ms"] == 0
    said = [turn["heard"] for turn in record["turns"] if turn["speaker"] == "agent"]
    assert sum("this is Corner Bakery" in text for text in said) == 1
    # What was cut off goes on with the next word.
    whole = " ".join(said)
    assert "close at two in the afternoon. On Sunday we are open" in whole
    assert "two loaves of rye bread, at nine dollars and twenty cents." in whole
    assert [tool["name"] for tool in record["tools"]] == ["order_status", "end_call"]
    page = (out / "call.html").read_text(encoding="utf-8")
    for text in ("safe point", "deadline", "abruptly"):
        assert text in page or text in told


async def test_crash_demo_kills_a_worker_and_the_caller_goes_on_talking(tmp_path: Path) -> None:
    """The other worker ends the sentence and knows what was said; nothing is done twice or left."""
    out = tmp_path / "demo"
    code, told = await run(out, "--crash")
    assert code == 0, told
    record: dict[str, Any] = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["end_reason"] == "agent_hung_up"
    first, second = (stream["worker"] for stream in record["streams"])
    assert first != second
    plain = " ".join(told.split())
    assert f"worker {first} was killed (SIGKILL)" in plain
    for words in ("the caller was owed something", "the caller heard the agent again after"):
        assert words in plain
    (move,) = record["moves"]
    assert (move["cause"], move["kind"], move["lost_ms"]) == ("takeover", "resume", 0)
    said = [turn["heard"] for turn in record["turns"] if turn["speaker"] == "agent"]
    assert sum("Corner Bakery" in text for text in said) == 1
    assert "close at two in the afternoon. On Sunday we are open" in " ".join(said)
    assert "Your order number is 48213." in said
    assert [tool["name"] for tool in record["tools"]] == ["order_status", "end_call"]
    with wave.open(str(out / "call.wav")) as recording:
        assert abs(recording.getnframes() / 8_000 - record["ended_s"]) < 1.0
    # They run in its folder, by which they can be told from others.
    left = [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(out / "data")]
    assert left == []
