"""A model on disk: a directory with ``manifest.json`` and the arrays and summary it names.

Array and summary files carry their content's hash in their names and are written and synced first; replacing the
manifest is the one step that publishes them. So a reader sees the old model or the new one, whatever happens in
between. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import safetensors.numpy
from safetensors import SafetensorError

from shoal.errors import DamagedFileError, NewerFormatError, ShoalError
from shoal.model.cluster_model import ClusterModel
from shoal.model.durable import replace_durably
from shoal.model.model_parts import FORMAT, arrays_of, check_arrays, manifest_of, model_of
from shoal.summary.coreset import Coreset

MANIFEST = "manifest.json"
_OURS = re.compile(r"(arrays-[0-9a-f]{12}\.safetensors|summary-[0-9a-f]{12}\.shoal|\.tmp-\w+)")
T = TypeVar("T")


def save_model(
    model: ClusterModel, path: str | os.PathLike[str], *, summary: Coreset | None = None
) -> ClusterModel:
    """Write a model, and the summary it can go on learning from; answers the model with its version set.

    An existing model at ``path`` is replaced in one step. A directory that holds anything else is left alone.

    Raises
    ------
    ShoalError : ``path`` is a file or a directory that is not a model.
    """
    folder = Path(path)
    if folder.exists() and not (folder.is_dir() and (_is_model(folder) or _holds_only_ours(folder))):
        raise ShoalError(f"{folder} exists and is not a Shoal model; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = safetensors.numpy.save(arrays_of(model))
    files = {"arrays": _write_blob(folder, "arrays", ".safetensors", arrays)}
    if summary is not None:
        files["summary"] = _write_blob(folder, "summary", ".shoal", summary.to_bytes())
    manifest = manifest_of(model) | {"files": files}
    version = version_of(manifest)
    manifest["version"] = version
    replace_durably(folder / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True).encode())
    keep = {entry["name"] for entry in files.values()}
    for old in folder.iterdir():  # what earlier versions or a crash left; nothing that is not ours
        if _OURS.fullmatch(old.name) and old.name not in keep and old.is_file():
            old.unlink(missing_ok=True)
    return model.replace(version=version)


def load_model(path: str | os.PathLike[str]) -> ClusterModel:
    """Read a model.

    Raises
    ------
    ShoalError : there is no model at ``path``.
    DamagedFileError, NewerFormatError : it cannot be trusted, or a newer release wrote it.
    """
    return _retrying(Path(path), lambda manifest: _model(Path(path), manifest))


def load_both(path: str | os.PathLike[str]) -> tuple[ClusterModel, Coreset]:
    """Read a model and the summary it was solved from, of one version; errors as in the two functions."""
    folder = Path(path)
    return _retrying(folder, lambda manifest: (_model(folder, manifest), _summary(folder, manifest)))


def _retrying(folder: Path, read: Callable[[dict[str, Any]], T]) -> T:
    """Read by the manifest; once more if a new version was published, and its files replaced, meanwhile."""
    manifest = _read_manifest(folder)
    while True:
        try:
            return read(manifest)
        except DamagedFileError:
            newer = _read_manifest(folder)
            if newer == manifest:
                raise
            manifest = newer


def _model(folder: Path, manifest: dict[str, Any]) -> ClusterModel:
    try:
        arrays = safetensors.numpy.load(_read_blob(folder, manifest["files"]["arrays"]))
        check_arrays(folder, arrays)
        return model_of(manifest, arrays)
    except ShoalError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise DamagedFileError(f"{folder}: the model cannot be read: {error!r}") from error


def load_summary(path: str | os.PathLike[str]) -> Coreset:
    """Read the summary a model was solved from.

    Raises
    ------
    ShoalError : there is no model, or it was saved without its summary.
    """
    return _retrying(Path(path), lambda manifest: _summary(Path(path), manifest))


def _summary(folder: Path, manifest: dict[str, Any]) -> Coreset:
    files = manifest["files"]
    if "summary" not in files:
        raise ShoalError(f"{folder} was saved without its summary, so it cannot go on learning or merge")
    return Coreset.from_bytes(_read_blob(folder, files["summary"]))


def version_of(body: dict[str, Any]) -> str:
    """Names a version by what its manifest says, so that a changed manifest is noticed."""
    return hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()


def _is_model(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes()).get("kind") == "shoal.model")
    except (OSError, ValueError, AttributeError):
        return False


def _holds_only_ours(folder: Path) -> bool:
    """Whether a directory is empty or holds only what a save that was cut short left."""
    return all(_OURS.fullmatch(p.name) or p.name == MANIFEST for p in folder.iterdir())


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ShoalError(f"{folder} is not a Shoal model: it has no {MANIFEST}") from error
    except ValueError as error:
        raise DamagedFileError(f"{folder / MANIFEST} is not valid JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != "shoal.model":
        raise DamagedFileError(f"{folder / MANIFEST} does not describe a Shoal model")
    if not isinstance(manifest.get("format"), int):
        raise DamagedFileError(f"{folder / MANIFEST} has no format number")
    if manifest["format"] > FORMAT:
        raise NewerFormatError(
            f"{folder} has format {manifest['format']}, this release reads up to {FORMAT}; upgrade shoal to read it"
        )
    body = {name: value for name, value in manifest.items() if name != "version"}
    if manifest.get("version") != version_of(body):
        raise DamagedFileError(
            f"{folder / MANIFEST} was changed since it was written; use another copy of the model"
        )
    if not isinstance(manifest.get("files"), dict) or "arrays" not in manifest["files"]:
        raise DamagedFileError(f"{folder / MANIFEST} names no arrays")
    return manifest


def _write_blob(folder: Path, stem: str, suffix: str, data: bytes) -> dict[str, str]:
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    name = f"{stem}-{digest[:12]}{suffix}"
    replace_durably(folder / name, data)
    return {"name": name, "blake2b": digest}


def _read_blob(folder: Path, entry: dict[str, str]) -> bytes:
    name = entry["name"]
    if Path(name).name != name:
        raise DamagedFileError(f"{folder / MANIFEST} names a file outside the model: {name!r}")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{folder / name} cannot be read: {error}") from error
    if hashlib.blake2b(data, digest_size=16).hexdigest() != entry["blake2b"]:
        raise DamagedFileError(f"{folder / name} was cut short or changed; use another copy of the model")
    return data
