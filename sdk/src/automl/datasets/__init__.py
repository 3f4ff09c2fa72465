"""The production guide's import path of data larger than memory."""
