"""Settings that Paddle's programs keep in YAML, beside a model or for it."""
