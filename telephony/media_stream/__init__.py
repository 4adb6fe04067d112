"""Twilio Media Streams: messages, protocol, playout, Pipecat transport."""
