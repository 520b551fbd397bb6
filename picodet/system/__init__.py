"""What differs between machines and operating systems, in one place."""
