"""A stock Pipecat bot for Twilio and Gemini Live, to measure evercall against.

It is Pipecat's own Twilio example (pipecat-examples, ``twilio-chatbot``) with the pipeline of its
own Gemini Live example (pipecat, ``examples/realtime/realtime-gemini-live.py``), both of late 2026:
FastAPI on uvicorn with its defaults, the stock transport, serializer and service, the pipeline at
the phone's 8 kHz, metrics on, ``PipelineWorker`` and ``WorkerRunner`` with their defaults. Nothing
is left out or slowed down. Three things differ, all in its favour or without effect on a call under
way: the log starts at INFO, no recording is kept, and it does not ask Twilio to hang up.

With ``--tool`` it has one function, as Pipecat's own examples declare them; none without.

    python -m tests.benchmarks.stock_bot PORT LIVE_BASE_URL [--tool]
"""

import asyncio
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from google.genai.types import HttpOptions
from loguru import logger
from pipecat.adapters.schemas.direct_function import DirectFunction
from pipecat.adapters.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService
from pipecat.services.llm_service import FunctionCallParams
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

_TWIML = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<Response><Connect><Stream url="{scheme}://{host}/ws"/></Connect>'
    '<Pause length="20"/></Response>'
)

app = FastAPI()


@app.post("/voice")
async def voice(request: Request) -> Response:
    scheme = "wss" if request.url.scheme == "https" else "ws"
    twiml = _TWIML.format(scheme=scheme, host=request.headers["host"])
    return Response(twiml, media_type="application/xml")


@app.websocket("/ws")
async def media(websocket: WebSocket) -> None:
    await websocket.accept()
    _, call_data = await parse_telephony_websocket(websocket)
    serializer = TwilioFrameSerializer(
        stream_sid=call_data["stream_id"],
        call_sid=call_data["call_id"],
        # The real REST API is not to be bothered with made-up calls.
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            add_wav_header=False,
            serializer=serializer,
        ),
    )
    await run_bot(transport)


async def look_up(params: FunctionCallParams, key: str, seconds: float) -> None:
    """Look something up, which takes a while.

    Args:
        params: Pipecat's.
        key: What to look up.
        seconds: How long that takes.
    """
    await asyncio.sleep(seconds)
    await params.result_callback({"found": f"value-of-{key}"})


async def run_bot(transport: FastAPIWebsocketTransport) -> None:
    tools: list[FunctionSchema | DirectFunction] | None = [look_up] if app.state.has_tool else None
    llm = GeminiLiveLLMService(
        api_key="test-key",
        settings=GeminiLiveLLMService.Settings(
            system_instruction="You are a helpful assistant who can answer questions.",
            voice="Aoede",
        ),
        http_options=HttpOptions(base_url=app.state.live_base_url),
        tools=tools,
    )
    context = LLMContext()
    user_aggregator, assistant_aggregator = LLMContextAggregatorPair(context)
    pipeline = Pipeline(
        [transport.input(), user_aggregator, llm, transport.output(), assistant_aggregator]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(
            audio_in_sample_rate=8000,
            audio_out_sample_rate=8000,
            enable_metrics=True,
            enable_usage_metrics=True,
        ),
    )

    async def on_client_connected(_transport: Any, _client: Any) -> None:
        context.add_message(
            {"role": "developer", "content": "Please introduce yourself to the user."}
        )
        await worker.queue_frames([LLMRunFrame()])

    async def on_client_disconnected(_transport: Any, _client: Any) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_connected", on_client_connected)
    transport.add_event_handler("on_client_disconnected", on_client_disconnected)

    runner = WorkerRunner(handle_sigint=False, force_gc=True)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="INFO")
    app.state.live_base_url = sys.argv[2]
    app.state.has_tool = "--tool" in sys.argv[3:]
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="info")
