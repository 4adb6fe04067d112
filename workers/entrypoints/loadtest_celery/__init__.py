"""A load test's callers as tasks of Celery, on whatever hosts its workers are."""
