"""LightGBM as a learner."""
