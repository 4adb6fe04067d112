"""How the models differ on the wire; the server chooses by the model that the setup names.

No recording of 3.8 was to be had: where its documentation is silent it follows 3.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

VERTEX_PATH = re.compile(
    r"/{1,2}ws/google\.cloud\.aiplatform\.v1(beta1)?\.LlmBidiService/BidiGenerateContent"
)
DEVELOPER_PATH = re.compile(
    r"(/[\w-]+)*/{1,2}ws/google\.ai\.generativelanguage\.v1(alpha|beta)?"
    r"\.GenerativeService\.BidiGenerateContent(Constrained)?"
)
_DEVELOPER_MODEL = re.compile(r"models/(.+)")
_VERTEX_MODEL = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/(.+)")

# ai.google.dev/gemini-api/docs/speech-generation#voices: the 30 prebuilt voices.
VOICES = frozenset(
    {
        "Zephyr",
        "Puck",
        "Charon",
        "Kore",
        "Fenrir",
        "Leda",
        "Orus",
        "Aoede",
        "Callirrhoe",
        "Autonoe",
        "Enceladus",
        "Iapetus",
        "Umbriel",
        "Algieba",
        "Despina",
        "Erinome",
        "Algenib",
        "Rasalgethi",
        "Laomedeia",
        "Achernar",
        "Alnilam",
        "Schedar",
        "Gacrux",
        "Pulcherrima",
        "Achird",
        "Zubenelgenubi",
        "Vindemiatrix",
        "Sadachbia",
        "Sadaltager",
        "Sulafat",
    }
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What one model does, and what it refuses."""

    name: str
    models: frozenset[str]
    vertex: bool = False
    bundled: bool = True
    """Audio and transcript share a frame (3.1 recording); else each has its own (2.5 recording)."""
    text_first: bool = False
    """All text of an answer comes before its audio, between markers (Vertex half-cascade)."""
    words_in: bool = False
    """Input transcripts come word by word; else one sentence after the utterance."""
    thoughts: bool = False
    """Thought parts come before speech unless the thinking budget is 0."""
    thinking_level: Literal["optional", "refused", "required"] = "optional"
    empty_frames: bool = False
    """An empty ``serverContent`` opens each generation."""
    interaction_status: bool = False
    non_blocking: Literal["honoured", "ignored", "default"] = "honoured"
    call_id: Literal["function-call-", "fc_", "uuid"] = "fc_"
    closes_call_turn: bool = False
    """A blocking tool call closes with its own ``turnComplete`` before the answer."""
    content_after_first_turn: bool = True
    """``clientContent`` is taken all session long; else 1007 once the model has spoken."""
    media_chunks: bool = False
    stream_end_ends_turn: bool = True
    honours_silence: bool = True
    """``silenceDurationMs`` is obeyed; else ``silence_ms`` always holds."""
    echoes_text: bool = False
    """``realtimeInput.text`` comes back as an input transcript."""
    proactive_only: bool = False
    """Proactive audio cannot be turned off, affective dialog is gone."""
    unasked_handles: bool = False
    usage_per_frame: bool = False
    context_update: bool = False
    window_tokens: int = 131_072
    """What the context holds (ai.google.dev/gemini-api/docs/models)."""
    cuts_late: float = 1.0
    """How much larger than its trigger the context grows before it is cut. Over 1 the target is not
    obeyed either: what is left is about the trigger, whatever was asked for."""
    prefix_padding_ms: int = 20
    silence_ms: int = 500
    """Defaults of the activity detection; the real ones are not published."""
    low_sensitivity: bool = False
    """Sensitivity where the setup names none: LOW on Vertex, HIGH elsewhere (python-genai#2555)."""
    frame_ms: tuple[int, int] = (40, 120)
    """Shortest and longest audio frame, in steps of 20 ms; they average about 60 to 80 ms."""

    @property
    def audio_mime(self) -> str:
        """Mime type of audio frames; Vertex names no rate (recorded)."""
        return "audio/pcm" if self.vertex else "audio/pcm;rate=24000"


_V25 = Profile(
    name="2.5",
    models=frozenset(
        {
            "gemini-2.5-flash-native-audio-preview-09-2025",
            "gemini-2.5-flash-native-audio-preview-12-2025",
            "gemini-2.5-flash-native-audio-latest",
        }
    ),
    bundled=False,
    words_in=True,
    thoughts=True,
    call_id="function-call-",
    media_chunks=True,
    frame_ms=(40, 80),
)
_V31 = Profile(
    name="3.1",
    models=frozenset({"gemini-3.1-flash-live-preview"}),
    empty_frames=True,
    non_blocking="ignored",
    content_after_first_turn=False,
    honours_silence=False,
    silence_ms=1500,  # About 1 to 2 s whatever is asked for (gemini-live-api-examples#50).
    echoes_text=True,
    unasked_handles=True,
    usage_per_frame=True,
    # One report, audio in 25 turns: 71,000 tokens with a trigger of 25,000, and about the same left
    # with a target of 512 as with one of 8,000 (discuss.ai.google.dev/t/147228).
    cuts_late=2.84,
)
_V38 = Profile(
    name="3.8",
    models=frozenset({"gemini-3.8-live"}),
    thinking_level="refused",
    interaction_status=True,
    non_blocking="default",
    stream_end_ends_turn=False,  # openclaw/openclaw#152830
    proactive_only=True,
    context_update=True,
)
_V38_THINKING = replace(
    _V38,
    name="3.8-thinking",
    models=frozenset({"gemini-3.8-live-extended-thinking"}),
    thinking_level="required",
)
_VERTEX = Profile(
    name="vertex-2.5",
    models=frozenset({"gemini-live-2.5-flash-native-audio"}),
    vertex=True,
    bundled=False,
    words_in=True,
    call_id="uuid",
    closes_call_turn=True,
    media_chunks=True,
    low_sensitivity=True,
    silence_ms=800,
    frame_ms=(200, 200),
)

PROFILES = (
    _V25,
    _V31,
    _V38,
    _V38_THINKING,
    _VERTEX,
    replace(
        _VERTEX,
        name="vertex-half-cascade",
        models=frozenset({"gemini-live-2.5-flash"}),
        text_first=True,
        window_tokens=32_768,
    ),
    replace(_V38, name="vertex-3.8", vertex=True, call_id="uuid", low_sensitivity=True),
)


def profile_named(name: str) -> Profile:
    """Return the profile called ``name``.

    Raises:
        KeyError: There is none.
    """
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise KeyError(f"no profile {name!r}; there are: {', '.join(p.name for p in PROFILES)}")


def profile_of(model: str, *, vertex: bool) -> Profile | None:
    """Return the profile of a setup's ``model``, None if this surface does not know it."""
    pattern = _VERTEX_MODEL if vertex else _DEVELOPER_MODEL
    known = pattern.fullmatch(model)
    if known is None:
        return None
    for profile in PROFILES:
        if known.group(1) in profile.models and profile.vertex == vertex:
            return profile
    return None
