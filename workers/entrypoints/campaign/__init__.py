"""``evercall campaign``, ``stop-all``, ``allow-all`` and ``suppress``: what operators do."""
