"""Grids as the texts that the report's page draws."""

import numpy as np

from trm_arc.report.grids import encode


def test_a_grid_as_text() -> None:
    assert encode(np.array([[0, 10], [35, 255]], np.uint8)) == "0a|z?"
