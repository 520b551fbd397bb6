"""Downloads files once, checks and caches them."""
