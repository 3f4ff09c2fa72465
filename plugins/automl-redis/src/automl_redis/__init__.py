"""A shared cache in Redis."""
