"""The processes; the only package that sees both sides."""
