"""Storage in Amazon S3."""
