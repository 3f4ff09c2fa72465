"""XGBoost as a learner."""
