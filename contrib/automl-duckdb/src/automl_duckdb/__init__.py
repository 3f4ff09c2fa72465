"""DuckDB as a plugin of the AutoML engine; `automl_duckdb.plugin` is its entry module."""
