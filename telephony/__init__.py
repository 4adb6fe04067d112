"""The phone side of a call; knows nothing of Gemini or Celery."""
