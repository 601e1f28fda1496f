"""URIs: S3 with the environment the AWS tools obey, and whatever else pyarrow knows."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from shoal.errors import BadInputError

_S3_QUERY = {
    "endpoint_override",
    "scheme",
    "region",
    "access_key",
    "secret_key",
    "session_token",
    "anonymous",
}


def filesystem_of(uri: str) -> tuple[Any, str, str]:
    """The filesystem, the path on it, and the prefix that makes paths URIs again for people.

    ``s3://bucket/key`` takes ``endpoint_override``, ``scheme``, ``region`` and ``anonymous`` as query
    parameters (``?region=eu-west-1``) and obeys ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, ``AWS_REGION``
    and the usual credentials. Raises :class:`BadInputError` for a scheme that pyarrow does not know.

    >>> filesystem_of("nonsense://x/y")
    Traceback (most recent call last):
    shoal.errors.BadInputError: nonsense://x/y: cannot be read from ...
    """
    scheme = uri.partition("://")[0].lower()
    if scheme in ("s3", "s3a"):
        return _s3(uri)
    try:
        # A glob may hold characters a URI may not; only the part before it tells the filesystem.
        filesystem, path = pafs.FileSystem.from_uri(uri)
    except (OSError, ValueError, pa.ArrowException) as error:
        known = "use a path, s3://, gs://, abfs://, hdfs:// or file://"
        raise BadInputError(f"cannot be read from ({error})", place=uri, remedy=known) from error
    return filesystem, path, "" if scheme == "file" else f"{scheme}://"


def _s3(uri: str) -> tuple[Any, str, str]:
    # "?" is also a glob character: only what follows the last one and looks like key=value is a query.
    address, mark, query = uri.rpartition("?")
    if not mark or "=" not in query:
        address, query = uri, ""
    options: dict[str, Any] = dict(parse_qsl(query))
    unknown = sorted(set(options) - _S3_QUERY)
    if unknown:
        raise BadInputError(
            f"unknown parameter {unknown[0]!r}", place=uri, remedy=f"known: {', '.join(sorted(_S3_QUERY))}"
        )
    if "anonymous" in options:
        options["anonymous"] = options["anonymous"].lower() in ("1", "true", "yes")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if "endpoint_override" not in options and endpoint:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        options |= {"endpoint_override": parts.netloc + parts.path.rstrip("/"), "scheme": parts.scheme}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    path = unquote(address.partition("://")[2])
    bucket = path.partition("/")[0]
    if not bucket:
        raise BadInputError("no bucket named", place=uri, remedy="write s3://bucket/path")
    if "region" not in options:
        options["region"] = region or _region(bucket, "endpoint_override" in options)
    return pafs.S3FileSystem(**options), path.rstrip("/"), "s3://"


def _region(bucket: str, own_endpoint: bool) -> str:
    if own_endpoint:
        return "us-east-1"
    try:
        return str(pafs.resolve_s3_region(bucket))
    except OSError:
        return "us-east-1"
