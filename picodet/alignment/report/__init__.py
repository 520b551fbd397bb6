"""A comparison for a terminal, as an HTML page and as JSON."""
