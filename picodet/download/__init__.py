"""Files from the web: fetched once, checked, kept."""
