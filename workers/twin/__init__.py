"""The simulated Live API and Twilio; shares no code with the bridge."""
