"""What an operator sees of a call: on a page, as text, on the terminal."""
