"""`picodet data`, and datasets of any form for the other commands."""
