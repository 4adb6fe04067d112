"""A simulated Gemini Live API: a real TLS WebSocket server that behaves as the real one does."""
