"""Lists of MXNet arrays: the layout of each version, and files that lie about themselves."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shoal.errors import BadInputError, DamagedFileError, ShoalError
from shoal.sagemaker.ndarray_file import ndarray_bytes, read_named_ndarrays, read_ndarrays

NUMBERS = np.float32([[1, 2, 3], [4, 5, 6]])
LIST, NO_NAMES, DEVICE = struct.pack("<QQQ", 0x112, 0, 1), struct.pack("<Q", 0), struct.pack("<ii", 1, 0)
FLOAT = struct.pack("<i", 0)
HEADS = {
    "V1": struct.pack("<Ii2q", 0xF993FAC8, 2, 2, 3),
    "V2": struct.pack("<Iii2q", 0xF993FAC9, 0, 2, 2, 3),
    "V3": struct.pack("<Iii2q", 0xF993FACA, 0, 2, 2, 3),
    "legacy": struct.pack("<I2I", 2, 2, 3),
}
DTYPES = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"]


def file_of(head: bytes, dtype: bytes = FLOAT, numbers: bytes = NUMBERS.tobytes()) -> bytes:
    return LIST + head + DEVICE + dtype + numbers + NO_NAMES


@pytest.mark.parametrize("version", HEADS)
def test_all_versions_are_read(version):
    (array,) = read_ndarrays(file_of(HEADS[version]))
    np.testing.assert_array_equal(array, NUMBERS)
    assert array.dtype == np.float32


def test_what_is_written_is_version_2_byte_for_byte():
    assert ndarray_bytes([NUMBERS]) == file_of(HEADS["V2"])
    assert ndarray_bytes([NUMBERS[:, ::-1][:, ::-1].astype(">f4")]) == file_of(HEADS["V2"])


@settings(deadline=None, max_examples=30)
@given(
    arrays=st.dictionaries(
        st.text(max_size=8),
        hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0)),
        max_size=4,
    ),
    listed=st.booleans(),
)
def test_arrays_of_all_types_survive(arrays, listed):
    found = read_named_ndarrays(ndarray_bytes(list(arrays.values()) if listed else arrays))
    assert [name for name, _ in found] == ([""] * len(arrays) if listed else list(arrays))
    for (_, array), meant in zip(found, arrays.values(), strict=True):
        assert (array.dtype, array.shape) == (meant.dtype, meant.shape)
        assert array.tobytes() == meant.tobytes()


@pytest.mark.parametrize(
    "head",
    [struct.pack("<Iii", 0xF993FAC9, 0, 0), struct.pack("<I", 0), struct.pack("<Iii", 0xF993FACA, 0, -1)],
)
def test_an_array_without_a_shape_is_empty(head):
    (array,) = read_ndarrays(LIST + head + NO_NAMES)
    assert array.size == 0


def test_version_3_may_hold_a_single_number():
    (array,) = read_ndarrays(file_of(struct.pack("<Iii", 0xF993FACA, 0, 0), numbers=NUMBERS[0, :1].tobytes()))
    assert (array.shape, float(array)) == ((), 1.0)


@pytest.mark.parametrize("storage", [1, 2])
def test_sparse_storage_is_refused_by_name(storage):
    with pytest.raises(BadInputError, match=r"sparse.*tostype"):
        read_ndarrays(file_of(struct.pack("<Iii2q", 0xF993FAC9, storage, 2, 2, 3)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 a zip file, not a list of arrays",
        struct.pack("<QQQ", 0x112, 0, 1 << 60),
        LIST,
        LIST + HEADS["V2"],
        file_of(struct.pack("<Iii2q", 0xF993FAC9, 0, 2, 1 << 39, 1 << 39)),
        file_of(struct.pack("<Iii2q", 0xF993FAC9, 0, 2, -2, -3)),
        file_of(struct.pack("<Iii3q", 0xF993FAC9, 0, 3, 1 << 39, 1 << 39, 0), numbers=b""),
        file_of(struct.pack("<Iii", 0xF993FAC9, 0, 1 << 30)),
        file_of(struct.pack("<I", 1 << 31)),
        file_of(HEADS["V2"], dtype=struct.pack("<i", 99)),
        file_of(HEADS["V2"])[:-1],
        file_of(HEADS["V2"]) + b"x",
        file_of(HEADS["V2"])[:-8] + struct.pack("<Q", 1 << 40),
        file_of(HEADS["V2"])[:-8] + struct.pack("<QQ", 1, 1 << 40),
    ],
)
def test_damaged_and_hostile_files_are_errors(data):
    with pytest.raises(DamagedFileError):
        read_ndarrays(data)


@settings(deadline=None, max_examples=60)
@given(at=st.integers(0, 87), byte=st.integers(0, 255))
def test_any_byte_may_be_wrong(at, byte):
    data = bytearray(file_of(HEADS["V2"]))
    data[at] = byte
    try:
        arrays = read_ndarrays(bytes(data))
    except ShoalError:
        return
    assert sum(a.nbytes for a in arrays) <= len(data)


@pytest.mark.parametrize(
    "array", [np.float32(3), np.array(["a"]), np.zeros(2, np.complex64), np.zeros(2, np.uint16)]
)
def test_what_the_format_lacks_is_refused(array):
    with pytest.raises(BadInputError):
        ndarray_bytes([array])


GOLDEN = Path(__file__).with_name("golden")
CENTRES = np.random.default_rng(7).normal(size=(3, 4))
MADE = {
    "centres": [CENTRES.astype("float32")],
    **{
        kind: [(CENTRES * 9).astype(kind)]
        for kind in ("float64", "float16", "int32", "int64", "int8", "uint8")
    },
    "two": [np.arange(6, dtype="float32").reshape(2, 3), np.float32([1.5])],
}
"""What MXNet 1.9.1 was given to write ``golden/mxnet_NAME.nd`` with ``mx.nd.save(file, [mx.nd.array(a, dtype=...), ...])``."""


@pytest.mark.parametrize("name", MADE)
def test_what_mxnet_wrote_is_read_and_written_byte_for_byte(name):
    data = (GOLDEN / f"mxnet_{name}.nd").read_bytes()
    read = read_ndarrays(data)
    assert [a.dtype for a in read] == [a.dtype for a in MADE[name]]
    for mine, theirs in zip(read, MADE[name], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert ndarray_bytes(MADE[name]) == data


def test_names_that_mxnet_wrote_are_read_and_written():
    data = (GOLDEN / "mxnet_named.nd").read_bytes()
    named = read_named_ndarrays(data)
    assert [name for name, _ in named] == ["centres"]
    assert ndarray_bytes({"centres": CENTRES.astype("float32")}) == data
