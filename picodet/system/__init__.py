"""What depends on the machine, the operating system or the installed packages."""
