"""A test whose callers are in several processes: shards, each with its part of the calls."""
