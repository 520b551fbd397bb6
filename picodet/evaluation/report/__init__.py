"""Reports of an evaluation: text for the terminal, HTML page and JSON."""
