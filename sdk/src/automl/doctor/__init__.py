"""The production checklist that checks itself: `automl doctor`."""
