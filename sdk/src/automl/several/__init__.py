"""Models of several targets: fitted within one time limit, kept in one file."""
