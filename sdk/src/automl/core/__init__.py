"""The production guide's import path of the engine."""
