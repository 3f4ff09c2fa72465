"""The production guide's import path of caches."""
