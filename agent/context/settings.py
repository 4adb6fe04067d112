"""Where text models are and how we authenticate, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TextModelSettings:
    """The Live API's own credentials, and an address that may differ from its.

    Read from the environment by ``workers/settings.py``.
    """

    api_key: str | None = field(default=None, repr=False)
    """``GOOGLE_API_KEY``: Developer API, or Vertex in express mode."""
    base_url: str | None = None
    """Https; None for Google's own. ``base_url_setting`` says who gave it."""
    base_url_setting: str = "EVERCALL_TEXT_BASE_URL"
    """The Live API's own setting where that one stands in: a gateway or a wall around the network
    is rarely meant for half of the traffic, and transcripts must not go past it unasked."""
    vertexai: bool = False
    """``GOOGLE_GENAI_USE_VERTEXAI``."""
    project: str | None = None
    """``GOOGLE_CLOUD_PROJECT``; Vertex only."""
    location: str | None = None
    """``EVERCALL_TEXT_LOCATION``, or else ``GOOGLE_CLOUD_LOCATION``; Vertex only. Live models are
    served in regions, new text models often by ``global`` alone (docs.cloud.google.com, Vertex AI
    locations)."""
    ca_file: str | None = None
    """``SSL_CERT_FILE``; None trusts the certificates that certifi ships."""
