"""A learner to copy."""
