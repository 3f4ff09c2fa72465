"""The production guide's import path of optimizers."""
