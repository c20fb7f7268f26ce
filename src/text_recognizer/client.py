"""Ask a text-recognizer service: `Client("http://127.0.0.1:8000").read("page.jpg").text`."""
