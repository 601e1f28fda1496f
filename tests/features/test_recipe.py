"""From rows to numbers: scaling, categories, missing and impossible values, weights."""

from __future__ import annotations

import datetime
import decimal
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadInputError, DamagedFileError, NewerFormatError, Rejects
from shoal.features.recipe import Recipe, RecipeSpec


def learn(spec: RecipeSpec, data) -> Recipe:
    return spec.learn(data if isinstance(data, pa.RecordBatch) else pa.table(data), place="t.csv")


def apply(recipe, data, *, on_error="raise", first_row=0, rejects=None):
    batch = data if isinstance(data, pa.RecordBatch) else pa.record_batch(data)
    rows = np.arange(first_row, first_row + batch.num_rows)
    return recipe.apply(
        batch,
        origin="t.csv",
        rows=rows,
        rejects=rejects if rejects is not None else Rejects(),
        on_error=on_error,
    )


def fit(spec, data, **kwargs):
    return apply(learn(spec, data), data, **kwargs)


def vector(rows, kind=None):
    return pa.array(rows, kind or pa.list_(pa.float32(), 2))


class TestScaling:
    def test_standardised_columns_have_mean_zero_and_deviation_one(self):
        X = np.random.default_rng(0).normal(5, 3, size=(500, 2))
        out = fit(RecipeSpec(), {"a": X[:, 0], "b": X[:, 1]}).matrix
        assert out.dtype == np.float32
        assert out.flags.c_contiguous
        np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(out.std(axis=0), 1, atol=1e-6)

    def test_an_offset_of_a_hundred_million_survives_standardising(self):
        small = np.random.default_rng(0).normal(size=(500, 2))
        plain = fit(RecipeSpec(), {"a": small[:, 0], "b": small[:, 1]}).matrix
        far = fit(RecipeSpec(), {"a": small[:, 0] + 1e8, "b": small[:, 1]}).matrix
        np.testing.assert_allclose(far, plain, atol=1e-5)

    @pytest.mark.parametrize("scale", ["standard", "minmax"])
    def test_a_constant_column_becomes_zero(self, scale):
        out = fit(RecipeSpec(scale=scale), {"a": [0.1] * 7, "b": np.arange(7.0)}).matrix
        assert (out[:, 0] == 0).all()
        assert np.isfinite(out).all()

    def test_minmax_spans_zero_to_one(self):
        out = fit(RecipeSpec(scale="minmax"), {"a": [-3.0, 1.0, 5.0]}).matrix
        assert out.ravel().tolist() == [0, 0.5, 1]

    @pytest.mark.parametrize(
        ("data", "metric", "scaled"),
        [
            ({"a": [1.0, 3.0]}, "euclidean", False),
            ({"a": [1.0, 3.0], "b": [1.0, 5.0]}, "euclidean", True),
            ({"v": vector([[1, 2], [3, 4]])}, "euclidean", False),
            ({"a": [1.0, 3.0], "b": [1.0, 5.0]}, "cosine", False),
        ],
    )
    def test_auto_scales_several_columns_but_never_a_vector(self, data, metric, scaled):
        recipe = learn(RecipeSpec(metric=metric), data)
        assert bool((recipe.centre != 0).any()) is scaled

    def test_to_original_undoes_scaling(self):
        data = {"a": [1e6, 3e6, 5e6], "b": [0.1, 0.2, 0.4]}
        recipe = learn(RecipeSpec(), data)
        back = recipe.to_original(apply(recipe, data).matrix)
        np.testing.assert_allclose(back, np.column_stack([data["a"], data["b"]]), rtol=1e-6)
        with pytest.raises(BadInputError):
            recipe.to_original(np.zeros((2, 3)))


class TestKinds:
    def test_booleans_integers_decimals_and_half_floats_are_numbers(self):
        data = {
            "flag": [True, False],
            "n": pa.array([2**40, 7], pa.int64()),
            "d": pa.array([decimal.Decimal("1.5"), decimal.Decimal("2.5")]),
            "h": pa.array(np.array([0.5, 2], dtype=np.float16)),
            "name": ["a", "b"],
        }
        out = fit(RecipeSpec(scale="none"), data)
        assert out.matrix.tolist() == [[1, 2**40, 1.5, 0.5], [0, 7, 2.5, 2]]

    @pytest.mark.parametrize("value", [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 5)])
    def test_points_in_time_are_refused_with_a_remedy(self, value):
        with pytest.raises(
            BadInputError, match=r"t\.csv, column 'when': is .*, a point in time; turn it into a number"
        ):
            learn(RecipeSpec(columns=("when",)), {"when": [value]})

    def test_text_asked_for_as_a_number_points_to_one_hot(self):
        with pytest.raises(
            BadInputError, match=r"column 'sea': is text, for example 'NEAR BAY'; use --one-hot sea"
        ):
            learn(RecipeSpec(columns=("sea",)), {"sea": ["NEAR BAY", "INLAND"]})
        with pytest.raises(BadInputError, match=r"no column holds numbers; use --one-hot sea"):
            learn(RecipeSpec(), {"sea": ["NEAR BAY", "INLAND"]})

    def test_numbers_written_as_text_are_read_and_others_named(self):
        recipe = learn(RecipeSpec(columns=("x",)), {"x": ["1", " 2.5", ""]})
        with pytest.raises(BadInputError, match=r"t\.csv, row 12, column 'x': not a number: 'y'"):
            apply(recipe, {"x": ["1", "y"]}, first_row=10)

    def test_a_wholly_missing_column_is_not_chosen_by_itself(self):
        recipe = learn(RecipeSpec(), {"a": [1.0, 2.0], "b": pa.array([None, None], pa.float64())})
        assert recipe.feature_names == ("a",)

    @pytest.mark.parametrize(
        "kind", [pa.list_(pa.float32(), 2), pa.list_(pa.float64()), pa.large_list(pa.int32())]
    )
    def test_vectors_of_any_list_type_sliced_or_not(self, kind):
        batch = pa.record_batch({"v": vector([[9, 9], [1, 2], [3, 4], [5, 6]], kind)}).slice(1)
        recipe = learn(RecipeSpec(), batch)
        assert recipe.feature_names == ("v[0]", "v[1]")
        assert apply(recipe, batch.slice(1)).matrix.tolist() == [[3, 4], [5, 6]]

    def test_a_vector_of_another_width_is_named(self):
        kind = pa.list_(pa.float64())
        recipe = learn(RecipeSpec(), {"v": vector([[1, 2], [3, 4]], kind)})
        with pytest.raises(BadInputError, match=r"row 2, column 'v': not a vector of 2 numbers"):
            apply(recipe, {"v": vector([[1, 2], [3, 4, 5]], kind)})
        log = Rejects()
        out = apply(recipe, {"v": vector([[1], [3, 4], None, [5, 6]], kind)}, on_error="skip", rejects=log)
        assert out.matrix.tolist() == [[3, 4], [5, 6]]
        assert log.counts == {"not a vector of 2 numbers": 1, "missing value": 1}

    def test_a_missing_column_names_the_nearest(self):
        recipe = learn(RecipeSpec(), {"income": [1.0]})
        with pytest.raises(BadInputError, match=r"t\.csv: no column named 'income'; did you mean incomes"):
            apply(recipe, {"incomes": [1.0]})
        with pytest.raises(BadInputError, match="did you mean income"):
            learn(RecipeSpec(columns=("incom",)), {"income": [1.0]})


class TestOneHot:
    def test_the_most_frequent_are_kept_and_equals_go_by_name(self):
        recipe = learn(RecipeSpec(one_hot=("c",), top=2), {"c": list("bbcaacd")})
        assert recipe.feature_names == ("c=a", "c=b", "c=other")
        assert apply(recipe, {"c": ["b", "z", "a"]}).matrix.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]

    def test_dropped_others_are_filtered_not_rejected(self):
        log = Rejects()
        recipe = learn(RecipeSpec(one_hot=("c",), top=1, other="drop"), {"c": list("aab")})
        out = apply(recipe, {"c": ["a", "b", None, "a"]}, rejects=log)
        assert out.matrix.tolist() == [[1], [1]]
        assert (out.filtered, log.total, out.kept.tolist()) == (2, 0, [0, 3])

    @pytest.mark.parametrize(("nulls", "kept"), [("skip", 1), ("mean", 2), ("zero", 2)])
    def test_a_missing_category_follows_the_null_policy(self, nulls, kept):
        data = {"c": ["a", None]}
        out = fit(RecipeSpec(one_hot=("c",), nulls=nulls), data)
        assert len(out.matrix) == kept
        assert out.matrix[-1].tolist() == ([1, 0] if nulls == "skip" else [0, 1])
        with pytest.raises(BadInputError, match="row 2, column 'c': missing value"):
            fit(RecipeSpec(one_hot=("c",)), data)

    def test_a_category_is_the_same_whatever_type_holds_it(self):
        recipe = learn(RecipeSpec(one_hot=("c",)), {"c": ["43", "7"]})
        for values in (pa.array([43, 7]), pa.array([43.0, 7.0]), pa.array(["43", "7"]).dictionary_encode()):
            assert apply(recipe, {"c": values}).matrix.tolist() == [[1, 0, 0], [0, 1, 0]]

    def test_order_of_features_follows_columns(self):
        data = {"a": [1.0, 2.0], "c": ["x", "y"]}
        assert learn(RecipeSpec(columns=("c", "a"), one_hot=("c",), other="drop"), data).feature_names == (
            "c=x",
            "c=y",
            "a",
        )
        assert learn(RecipeSpec(columns=("a",), one_hot=("c",)), data).feature_names == (
            "a",
            "c=x",
            "c=y",
            "c=other",
        )
        assert learn(RecipeSpec(one_hot=("c",)), {"c": ["other"]}).feature_names == ("c=other", "c=(other)")


class TestBadValues:
    @pytest.mark.parametrize("hole", [None, float("nan")])
    def test_nulls_and_nans_follow_the_policy(self, hole):
        data = {"a": pa.array([1.0, hole, 3.0], pa.float64(), from_pandas=False)}
        with pytest.raises(
            BadInputError, match=r"t\.csv, row 102, column 'a': missing value; use --nulls mean"
        ):
            fit(RecipeSpec(), data, first_row=100)
        assert fit(RecipeSpec(nulls="mean"), data).matrix.ravel().tolist() == [1, 2, 3]
        assert fit(RecipeSpec(nulls="zero"), data).matrix.ravel().tolist() == [1, 0, 3]
        for spec, on_error in ((RecipeSpec(nulls="skip"), "raise"), (RecipeSpec(), "skip")):
            log = Rejects()
            out = fit(spec, data, on_error=on_error, rejects=log)
            assert out.matrix.ravel().tolist() == [1, 3]
            assert out.rows.tolist() == out.kept.tolist() == [0, 2]
            assert log.counts == {"missing value": 1}

    def test_a_missing_element_of_a_vector_is_named_by_its_place(self):
        data = {"v": vector([[1, 2], [3, None]])}
        with pytest.raises(BadInputError, match=r"row 2, column 'v\[1\]': missing value"):
            fit(RecipeSpec(), data)
        assert fit(RecipeSpec(nulls="mean"), data).matrix.tolist() == [[1, 2], [3, 2]]

    @pytest.mark.parametrize("nulls", ["error", "skip", "mean", "zero"])
    def test_infinity_is_an_error_under_every_null_policy(self, nulls):
        data = {"a": [1.0, -np.inf, 2.0]}
        with pytest.raises(BadInputError, match="row 2, column 'a': infinite value"):
            fit(RecipeSpec(nulls=nulls), data)
        assert len(fit(RecipeSpec(nulls=nulls), data, on_error="skip").matrix) == 2

    def test_the_first_bad_row_is_named_whatever_its_column(self):
        with pytest.raises(BadInputError, match="row 1, column 'b'"):
            fit(RecipeSpec(), {"a": [1.0, None], "b": [np.inf, 1.0]})

    def test_a_row_is_counted_once_for_its_first_reason(self):
        log = Rejects()
        fit(RecipeSpec(), {"a": [1.0, None, 2.0], "b": [np.inf, np.inf, 1.0]}, on_error="skip", rejects=log)
        assert log.total == 2

    def test_values_beyond_float32_are_errors(self):
        recipe = learn(RecipeSpec(), {"a": [1.0, 2.0]})
        with pytest.raises(BadInputError, match="row 1, column 'a': beyond the range of float32"):
            apply(recipe, {"a": [1e39]})

    def test_weights_are_returned_and_bad_ones_are_errors(self):
        spec = RecipeSpec(weight="w")
        out = fit(spec, {"a": [1.0, 2.0], "w": [0.0, 2.5]})
        assert out.weight is not None
        assert out.weight.tolist() == [0, 2.5]
        assert out.matrix.shape == (2, 1)
        for bad in (-1.0, np.nan, np.inf, None):
            with pytest.raises(BadInputError, match="row 2, column 'w': bad weight"):
                fit(spec, {"a": [1.0, 2.0], "w": pa.array([1.0, bad], pa.float64(), from_pandas=False)})


class TestCosine:
    @pytest.mark.parametrize("size", [1.0, 1e-30, 1e30, 1e200])
    def test_rows_have_length_one_whatever_their_size(self, size):
        X = np.random.default_rng(0).normal(size=(50, 5)) * size
        out = fit(
            RecipeSpec(metric="cosine"), {"v": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 5)}
        ).matrix
        np.testing.assert_allclose(np.linalg.norm(out.astype(float), axis=1), 1, atol=1e-6)

    def test_zero_vectors_are_errors_or_skipped(self):
        data = {"v": vector([[1, 0], [0, 0]])}
        with pytest.raises(BadInputError, match=r"row 2: zero vector.*--metric euclidean"):
            fit(RecipeSpec(metric="cosine"), data)
        log = Rejects()
        assert len(fit(RecipeSpec(metric="cosine"), data, on_error="skip", rejects=log).matrix) == 1
        assert log.total == 1


class TestWhereInRecipe:
    def test_rows_are_filtered_before_they_are_judged(self):
        data = {"a": [1.0, None, 3.0], "keep": [1, 0, 1]}
        out = fit(RecipeSpec(columns=("a",), where="keep = 1"), data)
        assert out.matrix.ravel().tolist() == [1, 3]
        assert (out.filtered, out.rows.tolist()) == (1, [0, 2])

    def test_columns_needed_include_those_of_where_and_weight(self):
        recipe = learn(
            RecipeSpec(columns=("a",), where="b > 0", weight="w"), {"a": [1.0], "b": [1], "w": [1]}
        )
        assert recipe.columns_needed == ("a", "b", "w")

    def test_nothing_left_to_learn_from_is_an_error(self):
        with pytest.raises(BadInputError, match="no row of the first block"):
            learn(RecipeSpec(where="a > 5"), {"a": [1.0]})


def mixed_table(n: int, seed: int) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    holes = rng.random(n) < 0.1
    return pa.record_batch(
        {
            "a": pa.array(rng.normal(1e6, 3, n), mask=holes),
            "b": rng.integers(0, 9, n),
            "c": [f"k{v}" for v in rng.zipf(1.6, n) % 30],
            "v": pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=3 * n).astype(np.float32)), 3),
            "w": rng.random(n),
        }
    )


SPECS = [
    RecipeSpec(columns=("a", "b", "v"), one_hot=("c",), nulls="mean", weight="w"),
    RecipeSpec(
        columns=("a", "b"), one_hot=("c",), top=3, other="drop", nulls="skip", scale="minmax", where="b <> 4"
    ),
    RecipeSpec(columns=("v",), metric="cosine", scale="none"),
]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), step=st.integers(1, 90), spec=st.sampled_from(SPECS))
def test_batch_rows_does_not_change_the_matrix(seed, step, spec):
    table = mixed_table(80, seed)
    recipe = learn(spec, table)
    whole_log, log = Rejects(), Rejects()
    whole = apply(recipe, table, on_error="skip", rejects=whole_log)
    parts = [
        apply(recipe, table.slice(i, step), on_error="skip", first_row=i, rejects=log)
        for i in range(0, 80, step)
    ]
    np.testing.assert_array_equal(np.concatenate([p.matrix for p in parts]), whole.matrix)
    np.testing.assert_array_equal(np.concatenate([p.rows for p in parts]), whole.rows)
    assert sum(p.filtered for p in parts) == whole.filtered
    assert log.counts == whole_log.counts
    if whole.weight is not None:
        np.testing.assert_array_equal(np.concatenate([p.weight for p in parts]), whole.weight)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), spec=st.sampled_from(SPECS))
def test_a_recipe_read_back_from_json_gives_identical_bits(seed, spec):
    table = mixed_table(60, seed)
    recipe = learn(spec, table)
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict(), allow_nan=False)))
    assert again.spec == recipe.spec
    assert again.feature_names == recipe.feature_names
    a, b = (apply(r, table, on_error="skip") for r in (recipe, again))
    assert a.matrix.tobytes() == b.matrix.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"version": "1"},
        {"spec": {"colums": ["a"]}},
        {"spec": {"scale": "huge"}},
        {"blocks": [{"kind": "cubic", "name": "a"}]},
        {"blocks": [{"kind": "numeric"}]},
        {"blocks": None},
        {"scale": [0.0]},
        {"scale": [1.0, 2.0]},
        {"centre": ["x"]},
        {"means": [float("nan")]},
    ],
)
def test_damaged_recipes_are_refused(change):
    data = learn(RecipeSpec(), {"a": [1.0, 2.0]}).to_dict()
    Recipe.from_dict(data)
    with pytest.raises(DamagedFileError):
        Recipe.from_dict(data | change)


def test_newer_recipes_are_refused():
    data = learn(RecipeSpec(), {"a": [1.0]}).to_dict()
    with pytest.raises(NewerFormatError, match="upgrade"):
        Recipe.from_dict(data | {"version": 2})


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": "big"},
        {"top": 0},
        {"nulls": "ignore"},
        {"columns": ("a", "a")},
        {"one_hot": "abc"},
        {"columns": ()},
        {"where": "a >"},
    ],
)
def test_specs_are_checked(bad):
    with pytest.raises(BadInputError):
        RecipeSpec(**bad)


def test_wide_vectors_are_converted_in_parts_with_the_same_result(monkeypatch):
    from shoal.features import recipe as module

    X = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    table = pa.record_batch({"v": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 16)})
    recipe = learn(RecipeSpec(scale="standard"), table)
    whole = apply(recipe, table).matrix
    monkeypatch.setattr(module, "_CELLS", 48)
    np.testing.assert_array_equal(apply(recipe, table).matrix, whole)
