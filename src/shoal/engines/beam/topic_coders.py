"""How texts with their vectors, shares of topics and topic models travel between workers: their own checksummed bytes."""

from __future__ import annotations

from typing import Any, ClassVar

from apache_beam import coders

from shoal.engines.topics import TextBatch, TopicShare, pack_topics, unpack_topics
from shoal.text.topic_model import TopicModel


class OwnBytesCoder(coders.Coder):  # type: ignore[misc]
    """Of what has ``to_bytes`` and ``from_bytes``; nothing is pickled."""

    kind: ClassVar[Any]

    def encode(self, value: Any) -> bytes:
        """As it says of itself."""
        encoded: bytes = value.to_bytes()
        return encoded

    def decode(self, encoded: bytes) -> Any:
        """Inverse of :meth:`encode`."""
        return self.kind.from_bytes(encoded)

    def is_deterministic(self) -> bool:
        """Equal values are equal bytes."""
        return True

    def to_type_hint(self) -> Any:
        """What it codes."""
        return self.kind


class TextBatchCoder(OwnBytesCoder):
    """:class:`~shoal.engines.topics.TextBatch` as bytes."""

    kind = TextBatch


class TopicShareCoder(OwnBytesCoder):
    """:class:`~shoal.engines.topics.TopicShare` as bytes."""

    kind = TopicShare


class TopicModelCoder(OwnBytesCoder):
    """:class:`~shoal.text.topic_model.TopicModel` as bytes."""

    kind = TopicModel

    def encode(self, value: TopicModel) -> bytes:
        """See :func:`shoal.engines.topics.pack_topics`."""
        return pack_topics(value)

    def decode(self, encoded: bytes) -> TopicModel:
        """Inverse of :meth:`encode`."""
        return unpack_topics(encoded)


for _coder in (TextBatchCoder, TopicShareCoder, TopicModelCoder):
    coders.registry.register_coder(_coder.kind, _coder)
