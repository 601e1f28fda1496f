"""Hyperparameters: every documented one, its range, and complaints that name what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.sagemaker.hyperparameters import IGNORED, HyperparameterError, Hyperparameters

DOCUMENTED = {
    "feature_dim": ("784", 784),
    "k": ("10", 10),
    "epochs": ("3", 3),
    "eval_metrics": ('["msd", "ssd"]', ("msd", "ssd")),
    "extra_center_factor": ("4", 4),
    "half_life_time_size": ("1000", 1000),
    "init_method": ("kmeans++", "kmeans++"),
    "local_lloyd_init_method": ("random", "random"),
    "local_lloyd_max_iter": ("7", 7),
    "local_lloyd_num_trials": ("3", 3),
    "local_lloyd_tol": ("0.01", 0.01),
    "mini_batch_size": ("500", 500),
    "force_dense": ("True", True),
}


def problems(**given):
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters.from_strings({"k": "3"} | given)
    return caught.value.problems


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_documented_one_is_read(name):
    text, value = DOCUMENTED[name]
    found = Hyperparameters.from_strings({"k": "3"} | {name: text})
    assert getattr(found, name) == value


def test_defaults_are_those_of_the_documentation():
    found = Hyperparameters.from_strings({"k": "3"})
    assert (found.epochs, found.mini_batch_size, found.half_life_time_size) == (1, 5000, 0)
    assert (found.init_method, found.local_lloyd_init_method) == ("random", "kmeans++")
    assert (found.local_lloyd_max_iter, found.local_lloyd_tol, found.eval_metrics) == (300, 1e-4, ("msd",))
    assert found.extra_center_factor is None
    assert found.local_lloyd_num_trials is None
    assert found.remarks() == []


def test_auto_is_the_default_of_the_two_that_know_it():
    auto = Hyperparameters.from_strings(
        {"k": "3", "extra_center_factor": "auto", "local_lloyd_num_trials": "auto"}
    )
    assert auto == Hyperparameters.from_strings({"k": "3"})
    assert problems(epochs="auto") == ("Hyperparameter epochs: 'auto' is not a positive integer",)


def test_k_is_required_and_feature_dim_is_not():
    with pytest.raises(HyperparameterError, match=r"No value\(s\) were specified for 'k' which are required"):
        Hyperparameters.from_strings({"feature_dim": "3"})
    assert Hyperparameters.from_strings({"k": "1"}).feature_dim is None


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("k", "-1", "k: -1 is not a positive integer"),
        ("k", "2.5", "k: 2.5 is not a positive integer"),
        ("k", "1_0", "k: 1_0 is not a positive integer"),
        ("feature_dim", "0", "feature_dim: 0 is not a positive integer"),
        ("mini_batch_size", "", "mini_batch_size: '' is not a positive integer"),
        ("extra_center_factor", "0", "extra_center_factor: 0 is not a positive integer or 'auto'"),
        ("half_life_time_size", "-3", "half_life_time_size: -3 is not an integer of 0 or more"),
        ("init_method", "best", "init_method: 'best' is not one of 'random', 'kmeans++'"),
        ("local_lloyd_tol", "1.5", "local_lloyd_tol: 1.5 is not a number between 0 and 1"),
        ("local_lloyd_tol", "nan", "local_lloyd_tol: nan is not a number between 0 and 1"),
        ("force_dense", "maybe", "force_dense: 'maybe' is not true or false"),
        ("seed", "x", "seed: 'x' is not an integer of 0 or more"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name, text, allowed):
    assert problems(**{name: text}) == (f"Hyperparameter {allowed}",)


@pytest.mark.parametrize("text", ["msd", "[]", '["mse"]', '{"msd": 1}', "['msd']", "[1]", "null"])
def test_eval_metrics_is_a_json_list_of_what_is_known(text):
    assert "eval_metrics" in problems(eval_metrics=text)[0]


def test_all_problems_are_told_at_once():
    found = problems(k="-1", epochs="many", colour="red", local_lloyd_tol="2")
    assert len(found) == 4
    assert any("colour is not known" in text and "mini_batch_size" in text for text in found)


def test_undocumented_ones_of_real_jobs_are_accepted_and_remembered():
    given = dict.fromkeys(IGNORED, "auto") | {
        "k": "3",
        "_log_level": "debug",
        "_tuning_objective_metric": "test:msd",
    }
    found = Hyperparameters.from_strings(given)
    assert found.ignored == IGNORED
    assert found.objective == "test:msd"
    assert found.debug


def test_width_is_checked_against_the_data():
    Hyperparameters(k=2, feature_dim=3).check_width(3, "train/a.csv")
    with pytest.raises(
        HyperparameterError, match=r"feature_dim: 3 is not the 4 numbers of a row of train/a\.csv"
    ):
        Hyperparameters(k=2, feature_dim=3).check_width(4, "train/a.csv")


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from([*DOCUMENTED, "seed", "other"]), st.text(max_size=8), max_size=4))
def test_any_strings_are_read_or_refused_by_name(given_strings):
    told: tuple[str, ...] = ()
    try:
        Hyperparameters.from_strings({"k": "3"} | given_strings)
    except HyperparameterError as error:
        told = error.problems
    assert all(any(name in text for name in given_strings) for text in told)


def test_what_steers_nothing_is_said():
    said = " ".join(Hyperparameters(k=2, init_method="kmeans++", epochs=2, half_life_time_size=9).remarks())
    assert "init_method steers nothing" in said
    assert "epochs beyond 1 are left out" in said


def test_what_the_sdk_sends_is_accepted():
    # KMeans(...).hyperparameters() of SDK 2.257.7
    sent = {
        "force_dense": "True", "k": "8", "init_method": "kmeans++", "local_lloyd_max_iter": "20",
        "local_lloyd_tol": "0.001", "local_lloyd_num_trials": "4", "local_lloyd_init_method": "random",
        "half_life_time_size": "0", "epochs": "2", "extra_center_factor": "3",
        "eval_metrics": '["msd", "ssd"]', "feature_dim": "3", "mini_batch_size": "500",
    }  # fmt: skip
    found = Hyperparameters.from_strings(sent)
    assert (found.k, found.local_lloyd_num_trials, found.extra_center_factor) == (8, 4, 3)
    assert found.exact_passes == 1


def test_metrics_nested_too_deeply_are_no_metrics():
    with pytest.raises(HyperparameterError, match="eval_metrics"):
        Hyperparameters.from_strings({"k": "2", "eval_metrics": "[" * 100_000})
