"""One small component of each kind, that works as it is: `automl plugins new` copies the module of a kind."""
