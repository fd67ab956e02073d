"""What an alert says of a feature."""

from __future__ import annotations

import pytest

from detector.features.catalogue import CATALOGUE, Feature
from detector.phrases import phrase


@pytest.mark.parametrize("feature", CATALOGUE, ids=lambda feature: feature.name)
def test_every_feature_has_words_for_each_side_that_is_suspicious(feature: Feature) -> None:
    low, high = phrase(feature.name, -1.0, 0.0), phrase(feature.name, 1.0, 0.0)
    assert low or feature.side == 1
    assert high or feature.side == -1
    assert feature.side or low != high
