"""OpenTelemetry as a plugin of the AutoML engine; `automl_opentelemetry.plugin` is its entry module."""
