"""Training by the recipes of ppdet."""
