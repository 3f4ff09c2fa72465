"""scikit-learn as a plugin of the AutoML engine; `automl_sklearn.plugin` is its entry module."""
