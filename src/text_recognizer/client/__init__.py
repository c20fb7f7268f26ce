"""A client of the service: `Client("http://127.0.0.1:8000").read("page.jpg").text`.

Needs httpx, but neither a model nor ONNX Runtime.
"""

from text_recognizer.client.clients import AsyncClient, Client
from text_recognizer.client.messages import Answer, PageResult, ServiceError, Stored

__all__ = ["Answer", "AsyncClient", "Client", "PageResult", "ServiceError", "Stored"]
