"""`python -m automl` is the command `automl`."""

from __future__ import annotations

from automl.cli import main

main()
