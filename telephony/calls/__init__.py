"""Twilio calls: status, TwiML, webhooks, REST."""
