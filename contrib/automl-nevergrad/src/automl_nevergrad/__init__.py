"""Nevergrad as a plugin of the AutoML engine; `automl_nevergrad.plugin` is its entry module."""
