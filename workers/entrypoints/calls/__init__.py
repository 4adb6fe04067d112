"""``evercall calls``: the calls of all workers on one database, looked at and handed over."""
