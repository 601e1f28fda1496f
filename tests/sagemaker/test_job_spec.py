"""Documents of jobs: what is taken, and what is said of what is not."""

from __future__ import annotations

import json
import pathlib

import pytest
from tests.sagemaker.job_cloud import channel, document

from shoal.errors import BadInputError
from shoal.sagemaker.job_spec import JobSpec, JobSpecError
from shoal.sagemaker.job_tuning_spec import TuningSpec

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/sagemaker_job.json"


def plain(**changed):
    return document("a-job", "s3://b/out", channel("train", "s3://b/in")) | changed


def problems(given, **options):
    with pytest.raises(JobSpecError) as caught:
        JobSpec.from_dict(given, **options)
    return caught.value.problems


def test_the_document_of_the_blog_post_is_taken_and_what_means_nothing_is_listed():
    spec = JobSpec.from_dict(plain())
    assert (spec.name, spec.hyperparameters, spec.output) == ("a-job", {"k": "5"}, "s3://b/out")
    assert set(spec.ignored) == {
        "$.AlgorithmSpecification.TrainingImage",
        "$.ResourceConfig.InstanceType",
        "$.ResourceConfig.VolumeSizeInGB",
        "$.RoleArn",
    }


def test_the_example_is_a_job_of_two_instances():
    spec = JobSpec.from_file(EXAMPLE)
    assert (spec.instances, [c.name for c in spec.channels]) == (2, ["train", "test"])
    assert [c.spread for c in spec.channels] == ["ShardedByS3Key", "FullyReplicated"]


def test_all_problems_are_told_at_once_each_with_its_place():
    bad = plain(
        HyperParameters={"k": "-1", "epochs": "many"},
        TrainingJobName="no name",
        OutputDataConfig={},
        ResourceConfig={"InstanceCount": 0},
    )
    told = problems(bad)
    assert [t.partition(":")[0] for t in told] == [
        "$.TrainingJobName",
        "$.HyperParameters.k",
        "$.HyperParameters.epochs",
        "$.OutputDataConfig.S3OutputPath",
        "$.ResourceConfig.InstanceCount",
    ]


@pytest.mark.parametrize(
    ("changed", "start"),
    [
        ({"HyperParameters": {"k": 5}}, '$.HyperParameters.k: 5 is no string; write "5"'),
        ({"HyperParamters": {}}, "$.HyperParamters: is not known; did you mean HyperParameters?"),
        ({"InputDataConfig": {}}, "$.InputDataConfig: is no list"),
        ({"InputDataConfig": [3]}, "$.InputDataConfig[0]: is no JSON object"),
        ({"InputDataConfig": [channel("test", "s3://b/x")]}, "$.InputDataConfig: there is no train channel"),
        (
            {"InputDataConfig": [channel("train", "s3://b/x", ContentType="application/json")]},
            "$.InputDataConfig[0].ContentType: 'application/json' cannot be read; use application/x-recordio-protobuf or",
        ),
        (
            {"InputDataConfig": [channel("train", "s3://b/x", S3DataType="Augmented")]},
            "$.InputDataConfig[0].DataSource.S3DataSource.S3DataType: 'Augmented' is not known",
        ),
        (
            {"InputDataConfig": [channel("train", "s3://b/x", CompressionType="Zip")]},
            "$.InputDataConfig[0].CompressionType: 'Zip' is not known; use one of None, Gzip",
        ),
        (
            {"InputDataConfig": [channel("train", "s3://b/x"), channel("train", "s3://b/y")]},
            "$.InputDataConfig: channel 'train' is there twice",
        ),
        ({"InputDataConfig": [channel("../x", "s3://b/x")]}, "$.InputDataConfig[0].ChannelName"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "Fast"}}, "$.AlgorithmSpecification.TrainingInput"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": "60"}}, "$.StoppingCondition.MaxRuntimeInSeconds"),
        ({"ResourceConfig": []}, None),
        ({"ResourceConfig": [1]}, "$.ResourceConfig: is no JSON object"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_place(changed, start):
    if start is None:
        assert JobSpec.from_dict(plain(**changed)).instances == 1
    else:
        assert problems(plain(**changed))[0].startswith(start)


def test_a_channel_may_have_an_input_mode_of_its_own():
    given = plain(
        AlgorithmSpecification={"TrainingInputMode": "Pipe"},
        InputDataConfig=[channel("train", "s3://b/x"), channel("test", "s3://b/y", InputMode="File")],
    )
    assert [c.mode for c in JobSpec.from_dict(given).channels] == ["Pipe", "File"]


def test_no_environment_but_ours_reaches_a_process():
    spec = JobSpec.from_dict(plain(Environment={"LD_PRELOAD": "x.so", "SHOAL_CHECKPOINT_SECONDS": "5"}))
    assert spec.environment == {"SHOAL_CHECKPOINT_SECONDS": "5"}
    assert "$.Environment.LD_PRELOAD" in spec.ignored


def test_documents_from_elsewhere_name_no_files_of_this_machine():
    given = plain(InputDataConfig=[channel("train", "/etc/passwd")])
    assert JobSpec.from_dict(given).channels[0].uri == "/etc/passwd"
    assert problems(given, only_s3=True) == (
        "$.InputDataConfig[0].DataSource.S3DataSource.S3Uri: '/etc/passwd' is not on S3; write s3://bucket/folder",
    )


def tuning(ranges, objective="test:msd", **fixed):
    definition = plain(StaticHyperParameters=fixed)
    del definition["HyperParameters"], definition["TrainingJobName"]
    return {
        "HyperParameterTuningJobName": "tuning",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": objective},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": ranges,
        },
        "TrainingJobDefinition": definition,
    }


def test_the_documented_tuning_ranges_are_taken():
    ranges = {
        "IntegerParameterRanges": [
            {"Name": "extra_center_factor", "MinValue": "4", "MaxValue": "10", "ScalingType": "Linear"},
            {"Name": "mini_batch_size", "MinValue": "3000", "MaxValue": "15000"},
            {"Name": "epochs", "MinValue": "1", "MaxValue": "10"},
        ],
        "CategoricalParameterRanges": [{"Name": "init_method", "Values": ["kmeans++", "random"]}],
        "ContinuousParameterRanges": [],
    }
    asked = TuningSpec.from_dict(json.loads(json.dumps(tuning(ranges, k="6"))))
    assert (asked.ks, asked.factors, asked.objective) == ((6,), tuple(range(4, 11)), "test:msd")
    assert asked.without_effect == ("epochs", "init_method", "mini_batch_size")


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([{"Name": "k", "MinValue": "2"}], "MinValue and MaxValue"),
        ([{"Name": "k", "MinValue": "9", "MaxValue": "2"}], "no range of positive integers"),
        ([{"Name": "k", "MinValue": "1", "MaxValue": "999999999"}], "smaller range"),
        ([{"Name": "colour", "MinValue": "1", "MaxValue": "2"}], "cannot be tuned"),
    ],
)
def test_a_tuning_range_that_makes_no_sense_is_named(ranges, words):
    with pytest.raises(BadInputError, match=words) as caught:
        TuningSpec.from_dict(tuning({"IntegerParameterRanges": ranges}))
    assert caught.value.place.endswith("IntegerParameterRanges[0]")


def test_problems_of_the_definition_have_their_place_in_the_whole_document():
    given = tuning({}, k="3")
    given["TrainingJobDefinition"]["OutputDataConfig"] = {}
    with pytest.raises(JobSpecError, match=r"\$\.TrainingJobDefinition\.OutputDataConfig\.S3OutputPath"):
        TuningSpec.from_dict(given)


def test_an_unknown_objective_is_refused():
    with pytest.raises(BadInputError, match="test:f1"):
        TuningSpec.from_dict(tuning({}, objective="test:f1", k="3"))


def test_fixed_values_are_read_as_a_job_reads_them():
    asked = TuningSpec.from_dict(tuning({}, k=" 4", extra_center_factor=" auto"))
    assert (asked.ks, asked.factors) == ((4,), (None,))


def test_a_document_nested_too_deeply_is_named(tmp_path):
    (tmp_path / "job.json").write_text("[" * 100_000)
    with pytest.raises(BadInputError, match="nested too deeply"):
        JobSpec.from_file(tmp_path / "job.json")
