"""What `automl plugins new` writes and `automl plugins check` asks."""
