"""A client of the service: the same calls with and without ``async``.

>>> from shoal.client import Client
>>> with Client("http://127.0.0.1:8787") as shoal:  # doctest: +SKIP
...     labels = shoal.assign("houses", frame)
...     labels.ids, labels.outlier_scores
"""

from shoal.client.asynchronous import AsyncClient
from shoal.client.labels import Distances, Labels
from shoal.client.live import Message
from shoal.client.refusals import RequestError
from shoal.client.synchronous import Client

__all__ = ["AsyncClient", "Client", "Distances", "Labels", "Message", "RequestError"]
