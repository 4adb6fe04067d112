"""``evercall demo`` as a newcomer runs it: one command, one call, one folder."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path
from typing import Any

import psutil

CALL_S, LONG_CALL_S = 100.0, 200.0


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


async def test_long_demo_cuts_what_was_told_and_still_knows_it(tmp_path: Path) -> None:
    """Cuts, moves and a refill take the caller's turns from the model, and none of their facts."""
    out = tmp_path / "demo"
    code, told = await run(out, "--long", timeout_s=LONG_CALL_S)
    assert code == 0, told
    for line in (
        "the server cut the oldest turns",
        "summary brought up to date",
        "remembers allergy",
        "refilled in",
        "I promised to call you on Friday at ten.",
        "the model knew 4 of 4; of the 4 turns that had told it, it still held none",
    ):
        assert line in " ".join(told.split())
    record: dict[str, Any] = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["end_reason"] == "agent_hung_up"
    moves = record["moves"]
    assert len(moves) >= 4
    assert sum(move["kind"] == "refill" for move in moves) == 1
    assert sum(move["lost_ms"] for move in moves) == 0
    said = [turn["heard"] for turn in record["turns"] if turn["speaker"] == "agent"]
    # Nobody is greeted again, nothing is said twice, and the last answers hold the facts.
    assert len(said) == len(set(said)) == 13
    for fact, answer in zip(("Whitfield", "48213", "hazelnuts", "Friday"), said[-5:], strict=False):
        assert fact in answer
    context = record["context"]
    assert context["trigger_tokens"] == 1_600
    assert len(context["cuts"]) >= 2
    assert all(cut["after_tokens"] < cut["before_tokens"] for cut in context["cuts"])
    assert context["most_tokens"] >= max(sample["tokens"] for sample in context["samples"])
    assert [made["outcome"] for made in context["summaries"]].count("ok") >= 2
    assert {fact["key"]: fact["value"] for fact in record["facts"]} == {
        "allergy": "the caller's son: hazelnuts"
    }
    summary = " ".join([record["summary"]["caller"], *record["summary"]["facts"]])
    for fact in ("Nora Whitfield", "48213", "14 March", "12 Garden Road", "80 dollars"):
        assert fact in summary
    assert "I promise to call you on Friday at ten." in record["summary"]["promises"]
    page = (out / "call.html").read_text(encoding="utf-8")
    for text in (
        'class="plot"',
        "trigger 1,600",
        "cut by the server",
        "move to another connection",
        "summary brought up to date",
        "What the agent remembers",
    ):
        assert text in page


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
