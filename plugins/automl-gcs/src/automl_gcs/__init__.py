"""Storage in Google Cloud Storage."""
