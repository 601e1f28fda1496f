"""The byte format of summaries: magic, version, checksum, then named arrays and plain metadata.

Layout: 8 bytes magic ``SHOALSUM``, 2 bytes version (little endian), 32 bytes BLAKE2b-256 of all that follows,
then a safetensors block whose ``meta`` tensor holds UTF-8 JSON. Nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from shoal.errors import DamagedFileError, NewerFormatError

MAGIC = b"SHOALSUM"
VERSION = 1
_HEAD = len(MAGIC) + 2 + 32
Arrays = dict[str, NDArray[Any]]


def pack(kind: str, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Bytes of a summary of one kind.

    >>> blob = pack("demo", {"n": 3}, {"x": np.arange(3.0)})
    >>> meta, arrays = unpack("demo", blob); meta["n"], arrays["x"]
    (3, array([0., 1., 2.]))
    """
    text = json.dumps({"kind": kind, **meta}, sort_keys=True).encode()
    tensors = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    tensors["meta"] = np.frombuffer(text, np.uint8)
    body = safetensors.numpy.save(tensors)
    head = MAGIC + VERSION.to_bytes(2, "little") + hashlib.blake2b(body, digest_size=32).digest()
    return bytes(head + body)


def unpack(kind: str, data: bytes) -> tuple[dict[str, Any], Arrays]:
    """Metadata and arrays of :func:`pack`.

    Raises
    ------
    DamagedFileError : not a summary, of another kind, cut short, or changed since it was written.
    NewerFormatError : written by a newer release.
    """
    if len(data) < _HEAD or data[: len(MAGIC)] != MAGIC:
        raise DamagedFileError("these bytes are not a Shoal summary")
    version = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 2], "little")
    if version > VERSION:
        raise NewerFormatError(
            f"the summary has format {version}, this release reads up to {VERSION}; upgrade shoal to read it"
        )
    body = data[_HEAD:]
    if hashlib.blake2b(body, digest_size=32).digest() != data[_HEAD - 32 : _HEAD]:
        raise DamagedFileError(
            "the summary's checksum is wrong: it was cut short or changed; use another copy"
        )
    try:
        arrays = safetensors.numpy.load(body)
        meta = json.loads(arrays.pop("meta").tobytes())
    except (SafetensorError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"the summary cannot be read: {error}") from error
    if meta.get("kind") != kind:
        raise DamagedFileError(f"the summary is of kind {meta.get('kind')!r}, not {kind!r}")
    return meta, arrays
