"""``EmbeddingHandler``: sentence-transformers for ``RunInference``, texts in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference

from shoal.engines.beam.texts.documents import Document
from shoal.text.embedding import Embedder
from shoal.text.loaded import loaded


class EmbeddingHandler(ModelHandler):  # type: ignore[misc]
    """Texts to ``PredictionResult(text, vector)``; tokenising is the model's own.

    Parameters
    ----------
    model, device : see :func:`shoal.text.embedding.load_embedder`; loaded once for each worker process.
    max_batch_size : texts computed together.
    """

    def __init__(
        self, model: str | None = None, *, device: str | None = None, max_batch_size: int = 64
    ) -> None:
        super().__init__()
        self.model, self.device, self.max_batch_size = model, device, max_batch_size

    def load_model(self) -> Embedder:
        """On a worker, when the first text comes."""
        return loaded(self.model, self.device)

    def run_inference(
        self, batch: Sequence[str], model: Embedder, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Vectors of a batch."""
        for text, vector in zip(batch, model.embed(batch), strict=True):
            yield PredictionResult(text, vector, model.name)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Sizes of batches."""
        return {"min_batch_size": 1, "max_batch_size": self.max_batch_size}

    def get_metrics_namespace(self) -> str:
        """Where RunInference counts."""
        return "shoal_embedding"


class Embed(beam.PTransform):  # type: ignore[misc]
    """:class:`~shoal.engines.beam.texts.documents.Document` to the same with its ``embedding``, a vector of length 1."""

    def __init__(self, model: str | None = None, *, device: str | None = None) -> None:
        super().__init__()
        self.handler = KeyedModelHandler(EmbeddingHandler(model, device=device))

    def expand(self, pcoll: Any) -> Any:
        """Through ``RunInference``, so that its metrics tell of texts and batches."""
        return (
            pcoll
            | "Key" >> beam.Map(_keyed)
            | "Infer" >> RunInference(self.handler)
            | "Join" >> beam.MapTuple(_joined)
        )


def _keyed(document: Document) -> tuple[str, str]:
    return document["id"], document["text"]


def _joined(name: str, result: PredictionResult) -> dict[str, Any]:
    return {"id": name, "text": result.example, "embedding": result.inference}
