"""The conformance kit: what every plugin of a kind must do, as tests to inherit. Needs `automl-core[testing]`."""
