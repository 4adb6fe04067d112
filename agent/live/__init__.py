"""Live API sessions: codec, connection, lifecycle, Pipecat processor."""
