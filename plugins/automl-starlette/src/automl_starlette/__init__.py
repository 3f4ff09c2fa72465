"""A prediction server on Starlette and uvicorn."""
