"""What starts: web app and command line."""
