"""The official models: architectures, configs and class names."""
