"""Serving models over HTTP: by command, in code, or as an ASGI application."""
