"""Models on disk: whole or not at all, the same when read, refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import DamagedFileError, NewerFormatError, Rejects, ShoalError
from shoal.model import persistence
from shoal.model.build import build_model
from shoal.model.cluster_model import ClusterModel, Provenance
from shoal.model.persistence import load_model, load_summary, save_model
from shoal.solve.k_means import k_means
from shoal.summary.coreset import Coreset


def fitted(k=3, n=500, d=2, metric="euclidean", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + rng.integers(k, size=n)[:, None] * 9.0
    if metric == "cosine":
        X /= np.linalg.norm(X, axis=1, keepdims=True)
    summary = Coreset(k_max=k).update(X)
    p = summary.points()
    rejects = Rejects()
    rejects.add("NaN", 3, "a.csv, row 7")
    model = build_model(
        p.X,
        p.weights,
        k_means(p.X, k, weights=p.weights, metric=metric),
        provenance=Provenance(rows_seen=n, rejects=rejects, sources=("a.csv", "b.csv")),
        metric=metric,
        feature_names=tuple(f"f{j}" for j in range(d)),
        recipe={"columns": ["f0"]},
    )
    return model, summary, X


def equal(a: ClusterModel, b: ClusterModel) -> bool:
    arrays = all(
        np.array_equal(getattr(a, n), getattr(b, n))
        for n in ("centres", "weights", "scatter", "radii", "ids")
    )
    return arrays and all(
        getattr(a, n) == getattr(b, n)
        for n in ("metric", "feature_names", "recipe", "steps", "choice", "parent")
    )


def test_a_model_comes_back_as_it_was(tmp_path):
    model, summary, X = fitted()
    saved = save_model(model, tmp_path / "m", summary=summary)
    again = load_model(tmp_path / "m")
    assert equal(model, again)
    assert again.version == saved.version != ""
    assert again.provenance.rejects == model.provenance.rejects
    assert again.provenance.sources == ("a.csv", "b.csv")
    assert load_summary(tmp_path / "m").to_bytes() == summary.to_bytes()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_saving_again_replaces_and_leaves_no_litter(tmp_path):
    first, summary, _ = fitted(3)
    second, summary2, _ = fitted(5, seed=1)
    save_model(first, tmp_path / "m", summary=summary)
    save_model(second, tmp_path / "m", summary=summary2)
    assert load_model(tmp_path / "m").k == 5
    assert len(list((tmp_path / "m").iterdir())) == 3


@pytest.mark.parametrize("dies_at", [0, 1, 2])
def test_a_crash_while_saving_leaves_the_old_model(tmp_path, monkeypatch, dies_at):
    first, summary, _ = fitted(3)
    second, summary2, _ = fitted(5, seed=1)
    save_model(first, tmp_path / "m", summary=summary)
    calls = []
    real = persistence.replace_durably

    def dying(path, data):
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        calls.append(path)
        real(path, data)

    monkeypatch.setattr(persistence, "replace_durably", dying)
    with pytest.raises(KeyboardInterrupt):
        save_model(second, tmp_path / "m", summary=summary2)
    assert equal(load_model(tmp_path / "m"), first)
    assert load_summary(tmp_path / "m").to_bytes() == summary.to_bytes()


def test_a_write_that_fails_leaves_no_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(fitted()[0], tmp_path / "m")
    assert list((tmp_path / "m").iterdir()) == []


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ShoalError, match="not a Shoal model"):
        save_model(fitted()[0], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("what", ["arrays", "summary"])
def test_damage_is_noticed(tmp_path, what):
    model, summary, _ = fitted()
    save_model(model, tmp_path / "m", summary=summary)
    file = next((tmp_path / "m").glob(f"{what}-*"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    with pytest.raises(DamagedFileError, match=what):
        load_model(tmp_path / "m") if what == "arrays" else load_summary(tmp_path / "m")
    file.unlink()
    with pytest.raises(DamagedFileError, match="cannot be read"):
        load_model(tmp_path / "m") if what == "arrays" else load_summary(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda m: m.update(format=99), NewerFormatError, "upgrade"),
        (lambda m: m.update(kind="other"), DamagedFileError, "does not describe"),
        (lambda m: m.pop("files"), DamagedFileError, "names no arrays"),
        (lambda m: m.pop("metric"), DamagedFileError, "metric"),
        (lambda m: m["files"]["arrays"].update(name="../../etc/passwd"), DamagedFileError, "outside"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(tmp_path, change, error, words):
    save_model(fitted()[0], tmp_path / "m")
    file = tmp_path / "m" / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    manifest["version"] = persistence.version_of({n: v for n, v in manifest.items() if n != "version"})
    file.write_text(json.dumps(manifest))
    with pytest.raises(error, match=words):
        load_model(tmp_path / "m")


def test_a_manifest_edited_by_hand_is_refused(tmp_path):
    save_model(fitted()[0], tmp_path / "m")
    file = tmp_path / "m" / "manifest.json"
    file.write_text(file.read_text().replace('"k": 3', '"k": 4'))
    with pytest.raises(DamagedFileError, match="changed since"):
        load_model(tmp_path / "m")


def test_a_directory_where_a_save_was_cut_short_can_be_saved_to(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "arrays-0123456789ab.safetensors").write_bytes(b"cut")
    save_model(fitted()[0], tmp_path / "m")
    assert load_model(tmp_path / "m").k == 3
    assert len(list((tmp_path / "m").iterdir())) == 2


def test_only_files_of_ours_are_cleaned_up(tmp_path):
    save_model(fitted(3)[0], tmp_path / "m", summary=fitted(3)[1])
    (tmp_path / "m" / "summary-of-my-findings.md").write_text("mine")
    (tmp_path / "m" / "summary-dir").mkdir()
    (tmp_path / "m" / ".tmp-left1").write_text("of a crash")
    save_model(fitted(4, seed=2)[0], tmp_path / "m", summary=fitted(4, seed=2)[1])
    names = {p.name for p in (tmp_path / "m").iterdir()}
    assert {"summary-of-my-findings.md", "summary-dir"} <= names
    assert len(names) == 5


def test_a_version_published_while_reading_is_read_instead(tmp_path, monkeypatch):
    first, second = fitted(3), fitted(5, seed=1)
    save_model(first[0], tmp_path / "m", summary=first[1])
    real = persistence._read_blob

    def late(folder, entry):
        monkeypatch.setattr(persistence, "_read_blob", real)
        save_model(second[0], tmp_path / "m", summary=second[1])
        return real(folder, entry)

    monkeypatch.setattr(persistence, "_read_blob", late)
    model, summary = persistence.load_both(tmp_path / "m")
    assert model.k == 5
    assert summary.to_bytes() == second[1].to_bytes()


def test_arrays_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    for change in ({"ids": np.arange(2)}, {"radii": np.zeros((3, 4))}, {"centres": np.full((3, 2), np.nan)}):
        broken = fitted(3)[0].replace(**change)
        save_model(broken, tmp_path / "m")
        with pytest.raises(DamagedFileError, match="does not fit"):
            load_model(tmp_path / "m")


def test_what_is_no_model_is_said_so(tmp_path):
    with pytest.raises(ShoalError, match=r"no manifest\.json"):
        load_model(tmp_path / "nothing")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DamagedFileError, match="not valid JSON"):
        load_model(tmp_path)


def test_a_model_without_summary_says_what_it_cannot_do(tmp_path):
    save_model(fitted()[0], tmp_path / "m")
    with pytest.raises(ShoalError, match="without its summary"):
        load_summary(tmp_path / "m")


def test_the_model_file_of_the_first_release_can_still_be_read():
    """A frozen model: every later release must read it and answer the same."""
    frozen = Path(__file__).parent / "frozen" / "format-1"
    model = load_model(frozen)
    assert model.k == 3
    answer = json.loads((frozen.parent / "format-1-answers.json").read_text())
    got = model.assign(np.array(answer["rows"]))
    np.testing.assert_array_equal(got.ids, answer["ids"])
    np.testing.assert_allclose(got.distances, answer["distances"], rtol=1e-12)
    np.testing.assert_allclose(got.outlier_scores, answer["outlier_scores"], rtol=1e-12)
    assert load_summary(frozen).count == 500
