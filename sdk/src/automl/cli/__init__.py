from automl.cli.app import main

__all__ = ["main"]
