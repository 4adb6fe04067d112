"""Which JSON the server takes: every known field and its type, in either spelling, at every depth.

The real server parses protobuf JSON: ``camelCase`` and ``snake_case`` name the same field, ``null``
leaves a field unset, 64-bit numbers may be strings, and an unknown field is an error (close 1007).
A schema is a tree of the small classes below; ``check`` gives back the same JSON in camelCase.
Source: ai.google.dev/api/live and the schemas it links to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.twin.live_api.messages import invalid


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, number or boolean field."""

    name: str
    types: tuple[type, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """An enum, by the names of its values."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Message:
    """A nested message; fields by their camelCase name."""

    fields: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Repeated:
    """A list; a client may not send a single item without its list."""

    item: Node


@dataclass(frozen=True, slots=True)
class Keyed:
    """A map with free keys (they are data, so they are never respelt)."""

    value: Node


@dataclass(frozen=True, slots=True)
class Free:
    """Any JSON (a ``Struct``), passed on as it is."""


Node = Scalar | Choice | Message | Repeated | Keyed | Free

STRING = Scalar("string", (str,))
BYTES = Scalar("bytes", (str,))
BOOL = Scalar("bool", (bool,))
NUMBER = Scalar("number", (int, float))
INTEGER = Scalar("integer", (int, str))
ANY = Free()

# Control characters kill a session (roomkit changelog); tab, line feed and return are harmless.
# Lone surrogates are no JSON to begin with.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def enum(*names: str) -> Choice:
    """Build a choice of ``names``."""
    return Choice(frozenset(names))


def check(value: Any, node: Node, path: str) -> Any:
    """Return ``value`` with camelCase field names, unset fields removed.

    Raises:
        RefusedError: An unknown field or a wrong type, named as the real server names it, or a
            control character in any text (1007).
    """
    match node:
        case Free():
            _check_free(value)
            return value
        case Scalar(name, types):
            fits = isinstance(value, types) and (name == "bool" or not isinstance(value, bool))
            if name == "integer" and isinstance(value, str):
                fits = re.fullmatch(r"-?\d+", value) is not None
            if not fits:
                raise invalid(f"Invalid value at '{path}' (TYPE_{name.upper()})")
            if name == "string":
                _check_text(value)
            return value
        case Choice(names):
            if value not in names:
                raise invalid(f"Invalid value at '{path}' (TYPE_ENUM), {str(value)!r}")
            return value
        case Repeated(item):
            if not isinstance(value, list):
                raise invalid(f"Invalid value at '{path}' (repeated field)")
            return [check(one, item, f"{path}[{n}]") for n, one in enumerate(value)]
        case Keyed(item):
            if not isinstance(value, dict):
                raise invalid(f"Invalid value at '{path}' (map)")
            for key in value:
                _check_text(key)
            return {key: check(one, item, f"{path}.{key}") for key, one in value.items()}
        case Message(fields):
            if not isinstance(value, dict):
                raise invalid(f"Invalid value at '{path}' (message)")
            checked = {}
            for key, one in value.items():
                name = camel(key)
                if name not in fields:
                    raise invalid(
                        f"Invalid JSON payload received. Unknown name \"{key}\" at '{path}': "
                        "Cannot find field."
                    )
                if one is not None:
                    checked[name] = check(one, fields[name], f"{path}.{key}" if path else key)
            return checked


def _check_text(text: str) -> None:
    if _CONTROL.search(text):
        raise invalid()


def _check_free(value: Any) -> None:
    match value:
        case str():
            _check_text(value)
        case dict():
            for key, one in value.items():
                _check_text(key)
                _check_free(one)
        case list():
            for one in value:
                _check_free(one)


def camel(name: str) -> str:
    """Spell a field name in camelCase, whichever way it came."""
    if "_" not in name:
        return name
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), name)


_BLOB = Message({"mimeType": STRING, "data": BYTES, "displayName": STRING})
_PART = Message(
    {
        "text": STRING,
        "thought": BOOL,
        "thoughtSignature": STRING,
        "inlineData": _BLOB,
        "fileData": Message({"mimeType": STRING, "fileUri": STRING, "displayName": STRING}),
        "functionCall": ANY,
        "functionResponse": ANY,
        "executableCode": ANY,
        "codeExecutionResult": ANY,
        "videoMetadata": ANY,
    }
)
_CONTENT = Message({"role": STRING, "parts": Repeated(_PART)})

# The parameters schema is closed: `additionalProperties`, `$ref` and friends close the connection
# with 1007 (livekit/agents#7302). It refers to itself, so it is filled in below.
_SCHEMA_FIELDS: dict[str, Node] = {}
_SCHEMA = Message(_SCHEMA_FIELDS)
_SCHEMA_FIELDS.update(
    {
        "type": enum(
            *("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"),
            *("string", "number", "integer", "boolean", "array", "object", "null"),
        ),
        "format": STRING,
        "title": STRING,
        "description": STRING,
        "nullable": BOOL,
        "enum": Repeated(STRING),
        "items": _SCHEMA,
        "minItems": INTEGER,
        "maxItems": INTEGER,
        "properties": Keyed(_SCHEMA),
        "minProperties": INTEGER,
        "maxProperties": INTEGER,
        "required": Repeated(STRING),
        "propertyOrdering": Repeated(STRING),
        "minimum": NUMBER,
        "maximum": NUMBER,
        "minLength": INTEGER,
        "maxLength": INTEGER,
        "pattern": STRING,
        "anyOf": Repeated(_SCHEMA),
        "default": ANY,
        "example": ANY,
    }
)

_FUNCTION = Message(
    {
        "name": STRING,
        "description": STRING,
        "behavior": enum("UNSPECIFIED", "BLOCKING", "NON_BLOCKING"),
        "parameters": _SCHEMA,
        "parametersJsonSchema": ANY,
        "response": _SCHEMA,
        "responseJsonSchema": ANY,
    }
)
_TOOL = Message(
    {
        "functionDeclarations": Repeated(_FUNCTION),
        "googleSearch": ANY,
        "googleSearchRetrieval": ANY,
        "codeExecution": ANY,
        "urlContext": ANY,
        "googleMaps": ANY,
        "enterpriseWebSearch": ANY,
        "retrieval": ANY,
        "fileSearch": ANY,
    }
)
_TRANSCRIPTION = Message(
    {
        "languageCodes": Repeated(STRING),
        "languageAuto": ANY,
        "languageHints": ANY,
        "customVocabulary": Repeated(STRING),
        "adaptationPhrases": Repeated(STRING),
        "wordTimestamp": BOOL,
        "diarization": ANY,
        "mode": STRING,
    }
)
_GENERATION = Message(
    {
        "responseModalities": Repeated(enum("MODALITY_UNSPECIFIED", "TEXT", "AUDIO", "IMAGE")),
        "temperature": NUMBER,
        "topP": NUMBER,
        "topK": NUMBER,
        "candidateCount": INTEGER,
        "maxOutputTokens": INTEGER,
        "seed": INTEGER,
        "presencePenalty": NUMBER,
        "frequencyPenalty": NUMBER,
        "stopSequences": Repeated(STRING),
        "mediaResolution": enum(
            "MEDIA_RESOLUTION_UNSPECIFIED",
            "MEDIA_RESOLUTION_LOW",
            "MEDIA_RESOLUTION_MEDIUM",
            "MEDIA_RESOLUTION_HIGH",
        ),
        "speechConfig": Message(
            {
                "voiceConfig": Message(
                    {
                        "prebuiltVoiceConfig": Message({"voiceName": STRING}),
                        "replicatedVoiceConfig": ANY,
                    }
                ),
                "multiSpeakerVoiceConfig": ANY,
                "languageCode": STRING,
            }
        ),
        "thinkingConfig": Message(
            {
                "thinkingBudget": INTEGER,
                "thinkingLevel": enum(
                    *("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"),
                    *("minimal", "low", "medium", "high"),
                ),
                "includeThoughts": BOOL,
            }
        ),
        "enableAffectiveDialog": BOOL,
        "translationConfig": Message({"targetLanguageCode": STRING, "echoTargetLanguage": BOOL}),
    }
)
_DETECTION = Message(
    {
        "disabled": BOOL,
        "startOfSpeechSensitivity": enum(
            "START_SENSITIVITY_UNSPECIFIED", "START_SENSITIVITY_LOW", "START_SENSITIVITY_HIGH"
        ),
        "endOfSpeechSensitivity": enum(
            "END_SENSITIVITY_UNSPECIFIED", "END_SENSITIVITY_LOW", "END_SENSITIVITY_HIGH"
        ),
        "prefixPaddingMs": INTEGER,
        "silenceDurationMs": INTEGER,
    }
)

SETUP = Message(
    {
        "model": STRING,
        "generationConfig": _GENERATION,
        "systemInstruction": _CONTENT,
        "tools": Repeated(_TOOL),
        "realtimeInputConfig": Message(
            {
                "automaticActivityDetection": _DETECTION,
                "activityHandling": enum(
                    "ACTIVITY_HANDLING_UNSPECIFIED",
                    "START_OF_ACTIVITY_INTERRUPTS",
                    "NO_INTERRUPTION",
                ),
                "turnCoverage": enum(
                    "TURN_COVERAGE_UNSPECIFIED",
                    "TURN_INCLUDES_ONLY_ACTIVITY",
                    "TURN_INCLUDES_ALL_INPUT",
                    "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
                ),
                "interimTranscriptTimestampEnabled": BOOL,
            }
        ),
        "sessionResumption": Message({"handle": STRING, "transparent": BOOL}),
        "contextWindowCompression": Message(
            {
                "triggerTokens": INTEGER,
                "slidingWindow": Message({"targetTokens": INTEGER}),
            }
        ),
        "inputAudioTranscription": _TRANSCRIPTION,
        "outputAudioTranscription": _TRANSCRIPTION,
        "proactivity": Message({"proactiveAudio": BOOL, "proactiveVideo": BOOL}),
        "historyConfig": Message({"initialHistoryInClientContent": BOOL}),
        "explicitVadSignal": BOOL,
        "safetySettings": Repeated(ANY),
        "avatarConfig": ANY,
        "labels": Keyed(STRING),
    }
)

CLIENT_MESSAGE = Message(
    {
        "setup": SETUP,
        "realtimeInput": Message(
            {
                "audio": _BLOB,
                "video": _BLOB,
                "mediaChunks": Repeated(_BLOB),
                "text": STRING,
                "activityStart": Message({}),
                "activityEnd": Message({}),
                "audioStreamEnd": BOOL,
            }
        ),
        "clientContent": Message({"turns": Repeated(_CONTENT), "turnComplete": BOOL}),
        "toolResponse": Message(
            {
                "functionResponses": Repeated(
                    Message(
                        {
                            "id": STRING,
                            "name": STRING,
                            "response": ANY,
                            "scheduling": enum(
                                "SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"
                            ),
                            "willContinue": BOOL,
                            "parts": Repeated(ANY),
                        }
                    )
                )
            }
        ),
        "contextUpdate": Message(
            {
                "systemInstruction": _CONTENT,
                "tools": Message({"tools": Repeated(_TOOL)}),
            }
        ),
    }
)
