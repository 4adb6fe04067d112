"""The Celery app of this environment: ``celery -A workers.dialling.celery_main worker``, or beat.

Reads the settings once, when it is imported; sets up the logs of whatever process imports it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, NoReturn

from celery import signals

from workers.dialling.celery_app import make_app
from workers.dialling.context import OfThisProcess, build_context
from workers.logs import LogPipe, start_logs
from workers.settings import SettingsError, load_settings

EXIT_USAGE = 2
# A line or two for each message, of which there are several a second.
_CHATTY = ("celery.app.trace", "celery.beat", "celery.worker.strategy", "celery.worker.request")


def _exit(error: Exception) -> NoReturn:
    sys.stderr.write(f"{error}\n")
    sys.exit(EXIT_USAGE)


try:
    settings = load_settings()
except SettingsError as wrong:
    _exit(wrong)
app: Any = make_app(settings, OfThisProcess(lambda: build_context(settings)))
_pipes: list[LogPipe] = []


def _check(**_: object) -> None:
    """Say what a worker lacks before it takes a message; beat and Flower do without."""
    try:
        settings.twilio()
    except SettingsError as error:
        _exit(error)


def _start_logs(**_: object) -> None:
    """Log as the rest of evercall does; in a fork anew, which has no thread that writes."""
    _pipes[:] = [start_logs(settings.log_level)]
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _end_logs(**_: object) -> None:
    """Write what is left."""
    for pipe in _pipes:
        pipe.close()


signals.worker_init.connect(_check, weak=False)
signals.setup_logging.connect(_start_logs, weak=False)
signals.worker_process_init.connect(_start_logs, weak=False)
signals.worker_process_shutdown.connect(_end_logs, weak=False)
signals.worker_shutdown.connect(_end_logs, weak=False)
