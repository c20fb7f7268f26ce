"""Reading over HTTP. `create_app` returns the whole service as an ASGI application; `text-recognizer serve` runs it."""
