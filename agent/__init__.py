"""The Gemini Live side of a call; knows nothing of Twilio, HTTP or Celery."""
