"""How large a session's context may grow, and where the server is asked to cut it."""

from __future__ import annotations

from dataclasses import dataclass

from agent.spec import Context


class WindowError(ValueError):
    """Trigger, target and window do not fit together; ``field`` says whose fault it is."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Window:
    """Sizes in tokens."""

    window_tokens: int
    trigger_tokens: int | None = None
    """The server cuts at the first turn that would begin with more; None: it never cuts."""
    target_tokens: int | None = None
    """About what is left after a cut."""


def window_of(context: Context, *, window_tokens: int, trigger_share: float) -> Window:
    """Return the sizes for a model with this window; the server's own defaults are said outright.

    Args:
        context: What the agent's file asks for.
        window_tokens: What the model holds.
        trigger_share: Of the window: where compression begins unless the file says otherwise.

    Raises:
        WindowError: target and trigger are not below each other and below the window.
    """
    if not context.compression:
        return Window(window_tokens)
    trigger, target = context.trigger_tokens, context.target_tokens
    of = "the trigger of"
    if trigger is None:
        trigger = int(window_tokens * trigger_share)
        of = "the model's default trigger of"
    elif trigger > window_tokens:
        raise WindowError(
            "context.trigger_tokens", f"{trigger:,} is over the model's window of {window_tokens:,}"
        )
    if target is None:
        # The server's default (ai.google.dev/api/live, SlidingWindow).
        target = trigger // 2
    elif target >= trigger:
        raise WindowError("context.target_tokens", f"{target:,} is not below {of} {trigger:,}")
    return Window(window_tokens, trigger, target)
