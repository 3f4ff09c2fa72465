"""`python -m automl.serving`: serve the model that the environment names."""

from __future__ import annotations

import logging
import sys

from automl_core.errors import AutoMLError, SettingsError


def main() -> int:
    """Serve until SIGTERM; 1 failed, 2 wrong settings."""
    from automl.serving.api import run_server
    from automl.serving.environment import read_environment

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asked = read_environment()
        run_server(
            asked.model, host=asked.host, port=asked.port, workers=asked.workers, model_id=asked.model_id,
            options=asked.options, settings=asked.settings, challengers=asked.challengers,
        )  # fmt: skip
    except AutoMLError as error:
        print(f"automl: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
