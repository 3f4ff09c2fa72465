"""Neural learners as a plugin of the AutoML engine; `automl_torch.plugin` is its entry module."""
