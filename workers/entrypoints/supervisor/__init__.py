"""Several serving processes on one machine: their parent, and what each of them has of it."""
