"""Studies and models as trackers keep them, and the production guide's import path of MLflow."""
