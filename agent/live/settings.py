"""Where the Live API is and how we authenticate, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """The google-genai SDK's own settings, read from the environment by ``workers/settings.py``."""

    api_key: str | None = field(default=None, repr=False)
    """``GOOGLE_API_KEY``: Developer API, or Vertex in express mode."""
    base_url: str | None = None
    """``GOOGLE_GEMINI_BASE_URL`` or ``GOOGLE_VERTEX_BASE_URL``; https, None for Google's own."""
    vertexai: bool = False
    """``GOOGLE_GENAI_USE_VERTEXAI``."""
    project: str | None = None
    """``GOOGLE_CLOUD_PROJECT``; Vertex only."""
    location: str | None = None
    """``GOOGLE_CLOUD_LOCATION``; Vertex only."""
    ca_file: str | None = None
    """``SSL_CERT_FILE``; None trusts the certificates that certifi ships."""
    connect_timeout_s: float = 10.0
    """Upper bound on dialling and setup; an agent's own limit may be shorter."""
