"""A Twilio on loopback: REST, signed webhooks, TwiML, and phones that talk to media streams."""
