"""The service level agreement that a student of the text teacher must keep."""

from __future__ import annotations

import pytest


@pytest.mark.kpi("exact_match", ">= 90%", "drop <= 5 pp")
@pytest.mark.kpi("bleu", "drop <= 3 pp")
@pytest.mark.kpi("rougeL", "drop <= 3 pp")
@pytest.mark.kpi("length_ratio", ">= 0.95", "<= 1.05")
def test_answers() -> None:
    """The student finds the right words for nearly every sentence, and as many of them as the teacher."""


@pytest.mark.kpi("empty_share", "== 0")
@pytest.mark.kpi("truncated_share", "<= 5%")
@pytest.mark.kpi("repetition_share", "<= 5%")
def test_failures() -> None:
    """No answer is missing, and few do not end."""


@pytest.mark.kpi("bits_per_byte", "increase <= 10%")
@pytest.mark.kpi("greedy_agreement", ">= 90%")
def test_same_language() -> None:
    """The student finds the texts about as likely as the teacher does, and gives the same answers."""


@pytest.mark.kpi("token_kl", "<= 0.1 nat")
@pytest.mark.kpi("token_agreement")
def test_same_tokens() -> None:
    """At nearly every place of the texts both are alike in which next tokens they expect."""


@pytest.mark.kpi("size_on_disk", "reduction >= 50%")
@pytest.mark.kpi("parameters", "<= 300 k")
@pytest.mark.kpi("cache_bytes_per_token", "<= 2 kB", context=64)
def test_size() -> None:
    """The student is at most half as large."""


@pytest.mark.kpi("time_to_first_token_p50", "<= 100 ms")
@pytest.mark.kpi("tokens_per_second", ">= 20 tokens/s")
def test_speed() -> None:
    """The first word comes at once, and the others faster than one can read."""
