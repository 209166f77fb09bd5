"""Which class holds the data of a task, and what tells the task where it is not stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_ROOM = "pytest_modelbench.data"
OWN_CLASSES: Mapping[str, str] = {
    "text": f"{_ROOM}.text_data:TextData",
    "detection": f"{_ROOM}.tasks.detection:DetectionData",
    "segmentation": f"{_ROOM}.tasks.segmentation:SegmentationData",
    "tagging": f"{_ROOM}.tasks.tagging:TaggingData",
    "forecasting": f"{_ROOM}.tasks.forecasting:ForecastingData",
    "ranking": f"{_ROOM}.tasks.ranking:RankingData",
    "embedding": f"{_ROOM}.tasks.embedding:EmbeddingData",
}
"""The class of the data by the task, where it is not `EvalData` itself."""
OF_ONE_TASK: Mapping[str, str] = {
    "prompts": "text",
    "texts": "text",
    "box_format": "detection",
    "word_ids": "tagging",
    "scheme": "tagging",
    "quantiles": "forecasting",
    "season": "forecasting",
    "query": "ranking",
    "pairs": "embedding",
    "triplets": "embedding",
}
"""Arguments that only one task has, and which one: they say the task where it is not stated."""


OF_LABELS = ("multiclass", "binary", "multilabel", "regression")
"""The tasks of one label or number for each sample, whose data are `EvalData` itself."""
ALL_TASKS = (*OF_LABELS, *OWN_CLASSES)
OF_ANSWERS = tuple(task for task in OWN_CLASSES if task != "text")
"""The tasks whose answers are read in a form of their own, by one pass: `TaskData`."""
ARGUMENTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text": (("max_new_tokens", "stop", "system", "chat"), ("prompts", "texts", "references", "choices", "answers")),
    "detection": (
        ("box_format", "output_format", "normalized", "output_normalized", "score_threshold", "max_detections"),
        (),
    ),
    "segmentation": (("ignore_index", "resize"), ()),
    "tagging": (("scheme", "ignore_index"), ("word_ids",)),
    "forecasting": (("season", "quantiles", "block"), ("history", "mask", "series")),
    "ranking": ((), ("query", "relevant", "exclude")),
    "embedding": (
        ("metric", "pooling"),
        ("pairs", "similarity", "same", "triplets", "queries", "corpus", "relevant"),
    ),
}
"""Arguments of each task that labels and numbers do not have: plain values, which are keys of [data] in
`modelbench.toml`, too; and those that go with the samples."""


def tasks_with(argument: str) -> tuple[str, ...]:
    """Return the tasks that have an argument which labels and numbers do not have; none for any other argument.

    >>> tasks_with("ignore_index"), tasks_with("classes")
    (('segmentation', 'tagging'), ())
    """
    return tuple(task for task, (plain, others) in ARGUMENTS.items() if argument in plain or argument in others)


def task_of(task: Any, arguments: Iterable[str], targets: Any) -> Any:
    """Return the task that is stated, or the one that arguments or targets leave no doubt of; None for neither.

    Targets that are mappings with `boxes` are those of detection.
    """
    if task is not None:
        return task
    named = next((OF_ONE_TASK[name] for name in arguments if name in OF_ONE_TASK), None)
    first = targets[0] if isinstance(targets, list | tuple) and targets else None
    return "detection" if named is None and isinstance(first, Mapping) and "boxes" in first else named
