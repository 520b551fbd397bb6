"""Names of tensors: the tables that translate them, and which model they belong to."""
