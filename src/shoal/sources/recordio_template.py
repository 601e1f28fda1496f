"""Dense records by template: where all have one width, they differ in their numbers only, and lie at equal distances.

So a block of them is an (n, stride) array of bytes: once the columns between the numbers were found to be the same in
every row, the numbers are two of its slices. Nothing is parsed, and a file is read about as fast as it can be copied.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import BadInputError
from shoal.sources.recordio import frame
from shoal.sources.recordio_records import (
    VALUES,
    Record,
    Tensor,
    as_tensor_values,
    checked_labels,
    encode_record,
)

_BLOCK = 1 << 20
"""Bytes written in one go: they stay in the cache."""
_ONE_BYTE = 128
"""From here on a whole number takes more than one byte."""


class Template:
    """What dense records of one width have in common, byte for byte.

    Parameters
    ----------
    width : numbers in a row.
    dtype : float32 or float64. Whole numbers take more or fewer bytes by their size, so that rows of them have no template.
    label : float32, float64, or int32, of which those from 0 to 127 take one byte and follow the template; None where
        records have none.

    >>> template = Template(2, np.float32, np.float32); X = np.float32([[1, 2], [3, 4]])
    >>> block = template.fill(X, np.float32([0, 1])).tobytes(); len(block), template.count(block)
    (104, 2)
    >>> template.take(block, 2)[0].tolist(), template.take(block, 2)[1].tolist()
    ([[1.0, 2.0], [3.0, 4.0]], [0.0, 1.0])
    """

    def __init__(self, width: int, dtype: Any, label: Any = None) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.label = None if label is None else np.dtype(label).newbyteorder("<")
        # Two records whose numbers differ in every byte: where they agree is the template.
        zeros, ones = (self._example(width, byte) for byte in (0, 255))
        self._free = np.flatnonzero(zeros != ones)
        self.stride, self._row = len(zeros), zeros
        self._whole = self.label is not None and self.label.kind == "i"
        size = width * self.dtype.itemsize
        self._values = slice(int(self._free[0]), int(self._free[0]) + size)
        after = 0 if self.label is None else int(self._free[size])
        self._label = slice(after, after + len(self._free) - size)
        bounds = [
            0,
            self._values.start,
            self._values.stop,
            *(b for b in (after, self._label.stop) if b),
            None,
        ]
        self._fixed = [slice(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True)]

    def _example(self, width: int, byte: int) -> NDArray[np.uint8]:
        def filled(size: int, dtype: Any) -> dict[str, Tensor]:
            if dtype.kind == "i":
                return {VALUES: Tensor(np.full(size, byte % _ONE_BYTE, dtype))}
            return {VALUES: Tensor(np.full(size * dtype.itemsize, byte, np.uint8).view(dtype))}

        record = Record(filled(width, self.dtype), {} if self.label is None else filled(1, self.label))
        return np.frombuffer(frame(encode_record(record)), np.uint8)

    def count(self, block: bytes | memoryview) -> int:
        """How many whole records at the start of a block follow the template."""
        rows = self._rows(block, len(block) // self.stride)
        fits = np.ones(len(rows), np.bool_)
        for part in self._fixed:
            # one test for a block that is as it should be, which most are
            same = rows[:, part] == self._row[part]
            if not same.all():
                fits &= same.all(axis=1)
        if self._whole:
            fits &= rows[:, self._label.start] < _ONE_BYTE
        return len(fits) if fits.all() else int(fits.argmin())

    def take(self, block: bytes | memoryview, n: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """(n, d) values and (n,) labels, as copies, of the first ``n`` records."""
        rows = self._rows(block, n)
        values = np.ascontiguousarray(rows[:, self._values]).view(self.dtype)
        if self.label is None:
            return values, None
        labels = np.ascontiguousarray(rows[:, self._label]).ravel()
        return values, labels.astype(self.label) if self._whole else labels.view(self.label)

    def fill(self, X: NDArray[Any], labels: NDArray[Any] | None = None) -> NDArray[np.uint8]:
        """(n, stride) bytes of the records of ``X`` (n, d), of the dtypes of the template."""
        out = np.empty((len(X), self.stride), np.uint8)
        for part in self._fixed:
            out[:, part] = self._row[part]
        out[:, self._values] = np.ascontiguousarray(X).view(np.uint8)
        if labels is not None:
            whole = labels.astype(np.uint8) if self._whole else np.ascontiguousarray(labels)
            out[:, self._label] = whole[:, None].view(np.uint8)
        return out

    def _rows(self, block: bytes | memoryview, n: int) -> NDArray[np.uint8]:
        return np.frombuffer(block, np.uint8, n * self.stride).reshape(n, self.stride)


@lru_cache(maxsize=8)
def template_of(width: int, dtype: Any, label: Any) -> Template | None:
    """The template of such records; None where there is none (rows of whole numbers, or of no numbers at all)."""
    return Template(width, dtype, label) if width and np.dtype(dtype).kind == "f" else None


def write_dense(file: BinaryIO, X: ArrayLike, labels: ArrayLike | None = None) -> None:
    """Write rows (n, d), with (n,) labels if there are any, as the SDK does, byte for byte.

    The like of the SDK's ``write_numpy_to_dense_tensor``, for more dtypes: float32 and float64 as they are, whole numbers
    as int32, of which the format spells out every one, so that they take longer (but for labels from 0 to 127).

    Raises
    ------
    BadInputError : X is no table of numbers, labels that do not fit, whole numbers beyond 32 bits.

    >>> import io; file = io.BytesIO(); write_dense(file, np.float32([[0, 1, 2]]), np.float32([1])); file.getvalue()[:8]
    b'\\n#\\xd7\\xce0\\x00\\x00\\x00'
    """
    table = np.asarray(X)
    if table.ndim != 2 or not table.shape[1]:
        raise BadInputError(f"shape {table.shape} where (n, d) is due", remedy="give rows by columns")
    marks, values = checked_labels(labels, len(table)), as_tensor_values(table)
    template = template_of(values.shape[1], values.dtype, None if marks is None else marks.dtype)
    long = marks is not None and marks.dtype.kind == "i" and not ((marks >= 0) & (marks < _ONE_BYTE)).all()
    if template is None or long:
        for i, row in enumerate(values):
            label = {} if marks is None else {VALUES: Tensor(marks[i : i + 1])}
            file.write(frame(encode_record(Record({VALUES: Tensor(row)}, label))))
        return
    step = max(1, _BLOCK // template.stride)
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        file.write(template.fill(values[part], None if marks is None else marks[part]).data)
