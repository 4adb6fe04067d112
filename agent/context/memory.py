"""Whether a resumed session still has its memory: judged by its first count."""

from __future__ import annotations

COLLAPSE = 0.4
"""Of the tokens left after a resume: amnesia. Observed: 2,758 to 351 (livekit/agents-js#2346).
Compression halves them at its default target."""
MIN_TOKENS = 300
"""With less, a prompt is instruction and little else."""
# A session without its memory holds its instruction and what it was asked just now, within a tenth.
_NOTHING_LEFT = 1.1


def forgotten(
    prompt: int,
    *,
    fixed: float,
    doubt: float,
    restored: float,
    asked: float,
    after_cut: float | None,
) -> str | None:
    """Return a sentence for the operator where a session came back without its memory.

    Args:
        prompt: The first count after the resume.
        fixed: System instruction and tools.
        doubt: How much of that nobody has counted yet.
        restored: The conversation that should have come back.
        asked: The exchange under way.
        after_cut: What the server's own cut at this turn would have left; None where there can
            have been none.
    """
    before = fixed + restored
    collapsed = before >= MIN_TOKENS and prompt < COLLAPSE * before
    # Beside a long instruction the loss of the conversation would go unnoticed.
    left = prompt - fixed
    gone = restored >= MIN_TOKENS and left < COLLAPSE * restored and restored - left > doubt
    if not collapsed and not gone:
        return None
    if after_cut is not None:
        most = _NOTHING_LEFT * (fixed + asked)
        if prompt > most or after_cut <= most:
            return None
    return f"the prompt fell from {before:.0f} to {prompt} tokens"
