"""The app of this environment: ``celery -A workers.entrypoints.loadtest_celery.main worker``.

Reads the settings once, when it is imported: the broker's address, and the Twilio account that a
target believes in.
"""

from __future__ import annotations

import sys
from typing import Any

from workers.entrypoints.loadtest_celery.app import make_app
from workers.settings import SettingsError, load_settings

EXIT_USAGE = 2

try:
    app: Any = make_app(load_settings())
except SettingsError as wrong:
    sys.stderr.write(f"{wrong}\n")
    sys.exit(EXIT_USAGE)
