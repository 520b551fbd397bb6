"""An evaluation for a terminal, as an HTML page and as JSON."""
