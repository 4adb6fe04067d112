"""One real call, as ``evercall drill`` makes it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path

CALL_S = 60.0
# Short, and independent of how a worker moves: nothing goes wrong but a frame that is no message.
RECIPE = """\
title: A frame that is no message
what_must_hold: It is skipped.
live: {turns: [{heard: Question one., answer: [{call: {name: look_up, args: {key: a, seconds: 0}}},
  say: "coded:1000:600"]}]}
faults: [{fault: garbage, turn: 1, kinds: [invalid_json]}]
caller: [wait_agent_done: {quiet_ms: 400}, speak: 800, wait_agent_done: {quiet_ms: 400}, hang_up]
expect: {moves: [], connections: 1, answers: [100, 1000], tools: {look_up: 1}, fillers: 0}
"""


async def test_drill_makes_a_call_and_leaves_it_in_a_folder(tmp_path: Path) -> None:
    """The verdict on the terminal, exit code 0, and page, record, recordings and log as files."""
    file, out = tmp_path / "no-message.yaml", tmp_path / "out"
    file.write_text(RECIPE, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from workers.entrypoints.cli import main; main()",
        *("drill", str(file), "--out", str(out)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(CALL_S):
        told = (await process.communicate())[0].decode()
    assert process.returncode == 0, told
    for words in ("A frame that is no message", "answers heard whole", "call.html", "drill.log"):
        assert words in told
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["end_reason"] == "caller_hung_up"
    assert record["tools"][0]["response"] == {"output": {"found": "value-of-a"}}
    for name in ("phone.wav", "call.wav"):
        with wave.open(str(out / name)) as recording:
            assert recording.getnchannels() == 2
    assert "look_up" in (out / "call.html").read_text(encoding="utf-8")
    assert (out / "drill.log").read_text(encoding="utf-8")
