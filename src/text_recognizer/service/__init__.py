"""Reading over HTTP: `create_app` is the whole service as an ASGI application, `text-recognizer serve` runs it."""
