"""CatBoost as a learner."""
