"""One kernel call for the rows of many requests."""

from __future__ import annotations

from typing import Any

import anyio
from numpy.typing import NDArray

from shoal.model.cluster_model import Assignment
from shoal.serve.models import Served


class Batcher:
    """Labels the rows of requests, those that come at the same time together."""

    async def assign(self, served: Served, matrix: NDArray[Any]) -> Assignment:
        """What :meth:`ClusterModel.assign` answers for the rows of one request."""
        return await anyio.to_thread.run_sync(served.model.assign, matrix)
