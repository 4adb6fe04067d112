"""One call from stream to session and back."""
