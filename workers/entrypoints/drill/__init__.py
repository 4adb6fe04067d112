"""``evercall drill``: one failure of the Live side, rehearsed against the twin and judged."""
