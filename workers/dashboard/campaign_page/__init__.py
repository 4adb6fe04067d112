"""One campaign as one self-contained HTML page."""
