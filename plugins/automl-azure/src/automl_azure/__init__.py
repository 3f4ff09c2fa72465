"""Storage in Azure Blob Storage."""
