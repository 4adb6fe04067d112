"""A simulated text model: ``generateContent`` on loopback, with recipes for what goes wrong."""
