"""Data that memory cannot hold: passes over it in batches, a sample for the search, all rows for the winners."""
