"""Beam's tests need Beam."""

import logging

import pytest

pytest.importorskip("apache_beam", reason="Beam is not installed: pip install 'shoal[beam]'")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
