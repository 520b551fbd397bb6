"""The commands of the command line, and the tables that they print."""
