"""What the two far ends say, made once: a second of talk, silence, and steps to time.

A probe is a step from silence to a constant level. A low-pass filter passes a constant, and the
place where its output crosses half the level is its delay to the sample, so a step shows at which
sample of which frame the audio came out. Levels lie a quarter apart and say which probe it was.
"""

import audioop
import base64
import math
import random
from array import array

FRAME_MS = 20
FRAMES_PER_S = 1000 // FRAME_MS
PHONE_HZ = 8000
MODEL_HZ = 24000
LEVELS = tuple(round(3000 * 1.25**code) for code in range(9))
STEP_FRAMES = 5

_ULAW_SILENCE = b"\xff"


def _talk(rate_hz: int) -> bytes:
    """One second of PCM16 that looks like loud speech: hum, hiss and a syllable's envelope."""
    noise = random.Random(1)
    samples = array("h")
    for n in range(rate_hz):
        t = n / rate_hz
        voice = math.sin(2 * math.pi * 140 * t) + 0.5 * math.sin(2 * math.pi * 700 * t)
        envelope = 0.6 + 0.4 * math.sin(2 * math.pi * 4 * t)
        samples.append(int(envelope * (6000 * voice + 600 * noise.uniform(-1, 1))))
    return samples.tobytes()


def _cut(audio: bytes, frame_bytes: int) -> list[bytes]:
    return [audio[at : at + frame_bytes] for at in range(0, len(audio), frame_bytes)]


def _constant(level: int, rate_hz: int) -> bytes:
    return array("h", [level] * (rate_hz * FRAME_MS // 1000)).tobytes()


def decode(payload: bytes) -> bytes:
    """Base64 in either alphabet, since the SDK writes the URL-safe one."""
    return base64.b64decode(payload.replace(b"-", b"+").replace(b"_", b"/"))


def _phone_payload(ulaw: bytes) -> bytes:
    return base64.b64encode(ulaw)


def _model_payload(pcm: bytes) -> bytes:
    """A server message with one audio part, as the 3.8 models send it."""
    return (
        b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":'
        b'{"mimeType":"audio/pcm;rate=24000","data":"' + base64.b64encode(pcm) + b'"}}]}}}'
    )


PHONE_TALK = [
    _phone_payload(ulaw)
    for ulaw in _cut(audioop.lin2ulaw(_talk(PHONE_HZ), 2), PHONE_HZ * FRAME_MS // 1000)
]
PHONE_SILENCE = _phone_payload(_ULAW_SILENCE * (PHONE_HZ * FRAME_MS // 1000))
PHONE_STEPS = [_phone_payload(audioop.lin2ulaw(_constant(level, PHONE_HZ), 2)) for level in LEVELS]

MODEL_TALK = [_model_payload(pcm) for pcm in _cut(_talk(MODEL_HZ), 2 * MODEL_HZ * FRAME_MS // 1000)]
MODEL_STEPS = [_model_payload(_constant(level, MODEL_HZ)) for level in LEVELS]

# A turn's end in the order recorded from the service: transcripts, generation, turn with usage.
MODEL_TURN_END = (
    b'{"serverContent":{"inputTranscription":{"text":"What time do you open on Saturday?"}}}',
    b'{"serverContent":{"outputTranscription":{"text":"On Saturday we open at seven."}}}',
    b'{"serverContent":{"generationComplete":true}}',
    b'{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":300,'
    b'"responseTokenCount":250,"totalTokenCount":550}}',
)
