"""One kernel call for the rows of many requests.

While a call runs, the requests that come gather, and the next call takes them together: nobody waits for a clock, and
the busier the service is the larger its calls are. The kernel labels a row the same whatever stands beside it, so an
answer is the same to the bit in any company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import anyio
import numpy as np
from numpy.typing import NDArray

from shoal.model.cluster_model import Assignment, ClusterModel
from shoal.serve.models import Served

ROWS = 65_536
"""Most rows of a call for several requests."""
AT_ONCE = 2_000_000
"""Multiplications up to which a call is over sooner (about 0.2 ms) than another thread would begin with it."""

_Waiting = tuple[NDArray[Any], "asyncio.Future[Assignment]"]


class Batcher:
    """Labels the rows of requests, those that come while others are labelled together."""

    def __init__(self) -> None:
        self._gathered: dict[tuple[int, str], list[_Waiting]] = {}
        """By version and dtype for which a call runs; those that wait for its end."""
        self._running: set[asyncio.Task[None]] = set()

    async def assign(self, served: Served, matrix: NDArray[Any]) -> Assignment:
        """What :meth:`ClusterModel.assign` answers for the rows of one request.

        Raises
        ------
        BadInputError : as there; for these rows, not for those of others.
        """
        model = served.model
        if len(matrix) * model.k * model.n_features < AT_ONCE:
            return model.assign(matrix)
        if len(matrix) > ROWS:
            return await _in_thread(model, matrix)
        key = id(served), matrix.dtype.str
        gathered = self._gathered.get(key)
        if gathered is not None:
            answer: asyncio.Future[Assignment] = asyncio.get_running_loop().create_future()
            gathered.append((matrix, answer))
            return await answer
        self._gathered[key] = []
        try:
            return await _in_thread(model, matrix)
        finally:
            # a task of its own: this request ends here, perhaps because its client left
            if self._gathered[key]:
                task = asyncio.get_running_loop().create_task(self._label(served, key))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            else:
                del self._gathered[key]

    async def _label(self, served: Served, key: tuple[int, str]) -> None:
        """Label what has gathered, until nothing more has."""
        gathered = self._gathered[key]
        try:
            while gathered:
                taken = _take(gathered)
                matrices = [matrix for matrix, _ in taken]
                answers = await anyio.to_thread.run_sync(together, served.model, matrices)
                for (_, future), answer in zip(taken, answers, strict=True):
                    if future.done():  # its client left
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            del self._gathered[key]
            for _, future in gathered:
                future.cancel()


def together(model: ClusterModel, matrices: Sequence[NDArray[Any]]) -> list[Assignment | Exception]:
    """What :meth:`ClusterModel.assign` answers for each of some arrays of rows, or the error it raises for it."""
    if len(matrices) > 1:
        try:
            return list(_parts(model.assign(np.concatenate(matrices)), [len(m) for m in matrices]))
        except Exception:  # noqa: S110 whose fault it is shows when each is alone
            pass
    return [_alone(model, matrix) for matrix in matrices]


def _alone(model: ClusterModel, matrix: NDArray[Any]) -> Assignment | Exception:
    try:
        return model.assign(matrix)
    except Exception as error:
        return error


def _parts(found: Assignment, lengths: Sequence[int]) -> list[Assignment]:
    ends = list(accumulate(lengths))
    return [Assignment._make(a[end - n : end] for a in found) for n, end in zip(lengths, ends, strict=True)]


def _take(gathered: list[_Waiting]) -> list[_Waiting]:
    """The first of what has gathered, as many as one call takes, without those whose clients left."""
    count = rows = 0
    while count < len(gathered) and (not count or rows + len(gathered[count][0]) <= ROWS):
        rows += len(gathered[count][0])
        count += 1
    taken, gathered[:count] = gathered[:count], []
    return [(matrix, future) for matrix, future in taken if not future.done()]


async def _in_thread(model: ClusterModel, matrix: NDArray[Any]) -> Assignment:
    return await anyio.to_thread.run_sync(model.assign, matrix, abandon_on_cancel=True)
