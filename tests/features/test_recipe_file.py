"""Recipe files: what a person writes, and what mistakes say."""

from __future__ import annotations

import pytest

from shoal.errors import BadInputError
from shoal.features.recipe import RecipeSpec
from shoal.features.recipe_file import load_recipe

GDELT = """
columns = ["numarticles", "avgtone"]
one_hot = ["eventcode"]
top = 5
other = "drop"
where = "not (lat = 0 and long = 0)"
scale = "none"

[read]
names = "names.csv"
delimiter = "\\t"
text = ["code"]
quote = false
"""


def test_every_setting_arrives(tmp_path):
    (tmp_path / "names.csv").write_text("numarticles\tavgtone\teventcode\n")
    (tmp_path / "r.toml").write_text(GDELT)
    spec, read = load_recipe(tmp_path / "r.toml")
    assert spec == RecipeSpec(
        columns=("numarticles", "avgtone"),
        one_hot=("eventcode",),
        top=5,
        other="drop",
        where="not (lat = 0 and long = 0)",
        scale="none",
    )
    assert read == {
        "names": ("numarticles", "avgtone", "eventcode"),
        "delimiter": "\t",
        "text_columns": frozenset({"code"}),
        "quote": None,
    }


def test_every_field_of_the_spec_can_be_written(tmp_path):
    (tmp_path / "r.toml").write_text(
        'columns = ["a"]\none_hot = ["b"]\ntop = 3\nother = "drop"\nscale = "minmax"\nnulls = "mean"\n'
        'where = "a > 1"\nmetric = "cosine"\nweight = "w"\n'
    )
    spec, read = load_recipe(tmp_path / "r.toml")
    default = RecipeSpec()
    assert all(getattr(spec, name) != getattr(default, name) for name in default.to_dict())
    assert read == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onehot = ['a']", "no setting named 'onehot'; did you mean one_hot"),
        ("[read]\ndelimeter = ','", "no setting named 'delimeter'; did you mean delimiter"),
        ("top = 'many'", "top is 'many'; give int"),
        ("top = true", "top is True"),
        ("columns = 'a'", "give a list of texts"),
        ("columns = [1]", "give a list of texts"),
        ("scale = 'big'", "r.toml: scale is 'big'; use one of auto"),
        ("where = 'a >'", "r.toml, where, near"),
        ("read = 3", r"write \[read\]"),
        ("top = ", "is not TOML"),
        ("[read]\nnames = 'no.csv'", "cannot be read"),
    ],
)
def test_mistakes_name_the_file_and_the_remedy(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(BadInputError, match=message):
        load_recipe(tmp_path / "r.toml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"no\.toml: cannot be read"):
        load_recipe(tmp_path / "no.toml")
