"""Numbers in sentences."""

import pytest

from p2pcache.wording import counted


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((0, "call"), "0 calls"),
        ((1, "call"), "1 call"),
        ((2, "call"), "2 calls"),
        ((1, "repository", "repositories"), "1 repository"),
        ((3, "repository", "repositories"), "3 repositories"),
        ((1_000, "call", "", "1,000"), "1,000 calls"),
    ],
)
def test_a_number_has_its_noun(given: tuple[int, str], sentence: str) -> None:
    assert counted(*given) == sentence
