"""Twilio's end of a media stream: what the caller hears, and what the caller's phone sends."""
