"""What is said of the groups of samples in several parts of the data, each of which may have others."""

from __future__ import annotations

from pytest_modelbench.data.groups import Grouping, told_of_missing
from pytest_modelbench.kpis.summary import Summary


def note_form(summary: Summary, number: int, grouping: Grouping, of: str = "samples") -> None:
    """Note how a feature's values became groups, and how many samples have none.

    Bins at the quantiles of the samples are the same in all parts only by chance, so what they are must be equal.

    Args:
        summary: in which it is noted.
        number: of the feature.
        grouping: of the feature.
        of: what they are missing of.
    """
    if grouping.form == "quantiles":
        what = f"bins of {grouping.name!r} at quantiles, which differ from part to part (write edges: bins=[30, 50])"
        summary.facts[what] = list(grouping.names)
    if grouping.missing:
        missing = summary.counts.setdefault(f"missing {of}", {})
        key = (number, grouping.name, grouping.missing_name)
        missing[key] = missing.get(key, 0) + grouping.missing


def told_by_feature(summary: Summary, of: str = "samples") -> list[str]:
    """Say what became of samples without a value, feature by feature."""
    missing = summary.counts.get(f"missing {of}", {})
    return [told_of_missing(count, name, kept) for (_, name, kept), count in sorted(missing.items())]
