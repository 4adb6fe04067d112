"""One call as one self-contained HTML page."""
