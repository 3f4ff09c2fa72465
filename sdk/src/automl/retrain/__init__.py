"""Repair of a model in production: fit a challenger on labelled traffic, compare, promote or refuse, roll back."""
