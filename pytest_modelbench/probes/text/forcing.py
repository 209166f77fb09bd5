"""A student beside its teacher, token by token of stated texts: the same place, the same tokens before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.text_data import TextData, text_data
from pytest_modelbench.errors import DoesNotFit, MeasurementError, NotApplicable
from pytest_modelbench.models.text import LikelihoodModel
from pytest_modelbench.probes.kinds import GENERATIONS, Taking
from pytest_modelbench.probes.text.measured_likelihood import Forced
from pytest_modelbench.probes.text.windows import OPTIONS, Part, likelihood_model, log_probabilities, windows_for

Rows = npt.NDArray[np.float32]
Pair = tuple[Part, Part]
"""The tokens before and those that are scored, for the student and for the teacher."""
MOST_VALUES = 2**22
"""How many log-probabilities of a model are compared at once: 32 MiB in float64."""
NO_TEACHER = "it needs the probabilities of the teacher itself. Define teacher_model"
OTHER_TOKENS = (
    "the tokenisers of student and teacher differ, or are not known, so that nothing can be compared token by token. "
    "Write bits_per_byte, greedy_agreement or generation_similarity"
)


def take(taking: Taking) -> Forced:
    """Compare both models at every token of `texts=`; where there are none, of the teacher's own answers.

    Raises:
        NotApplicable: there is no teacher in this process, a model gives no likelihoods, or their tokenisers differ.
        DoesNotFit: the data have neither texts nor prompts.
        ModelError: a model raised.
    """
    return taking.shared(("forced",), OPTIONS, lambda: _compared(taking))


def _compared(taking: Taking) -> Forced:
    other, data = taking.other("teacher"), text_data(taking.data)
    if other is None:
        raise NotApplicable(NO_TEACHER)
    student, teacher = (likelihood_model(model, "the fidelity of tokens") for model in (taking.model, other))
    if not student.vocabulary() or student.vocabulary() != teacher.vocabulary():
        raise NotApplicable(OTHER_TOKENS)
    of_texts = data.texts is not None and not (student.encodes or teacher.encodes)
    how, texts = (_documents if of_texts else _answers)(taking, data, student, teacher)
    divergences: list[Rows] = []
    agrees: list[npt.NDArray[np.bool_]] = []
    sizes: list[int] = []
    with student.running(), teacher.running():
        for parts in texts:
            before = sum(map(len, divergences))
            for (ahead, ids), (its, theirs) in parts:
                scored = log_probabilities(student, ahead, ids), log_probabilities(teacher, its, theirs)
                divergences.append(divergence(*scored))
                agrees.append(scored[0].argmax(axis=1) == scored[1].argmax(axis=1))
                taking.beat()
            sizes.append(sum(map(len, divergences)) - before)
    if not any(sizes):
        raise MeasurementError("there is no token to compare: the texts, or the teacher's answers, are empty")
    return Forced(
        model=student.name,
        vocabulary=student.vocabulary(),
        how=how,
        divergences=np.concatenate(divergences),
        agrees=np.concatenate(agrees),
        sizes=np.array(sizes, dtype=np.intp),
        of_prompts=not of_texts,
    )


Texts = tuple[str, Iterable[Iterable[Pair]]]


def _documents(taking: Taking, data: TextData, student: LikelihoodModel, teacher: LikelihoodModel) -> Texts:
    """Return the windows of each document, the same for both models."""
    contexts = [model.context for model in (student, teacher) if model.context is not None]
    windows = windows_for(student, taking.options, min(contexts, default=None))
    listed = [student.text_ids(text) for text in data.texts or ()]
    return f"texts, {windows.told}", ([(part, part) for part in windows.parts(ids)] for ids in listed)


def _answers(taking: Taking, data: TextData, student: LikelihoodModel, teacher: LikelihoodModel) -> Texts:
    """Return each answer of the teacher after its prompt, as each model's template has it."""
    if not data.has_prompts:
        raise DoesNotFit(
            "models with an encoder are compared on the teacher's answers. Write EvalData(prompts=[...])"
        )
    answers = taking.of(GENERATIONS, "teacher").answers
    if any(answer.token_ids is None for answer in answers):
        raise NotApplicable(f"{teacher.name} does not give the tokens of its answers. Write EvalData(texts=[...])")

    def pairs() -> Iterator[Iterable[Pair]]:
        for prompt, answer in zip(data.prompts, answers, strict=True):
            ids = list(answer.token_ids or ())
            mine, its = (model.prompt_ids(prompt, data.prompts.settings) for model in (student, teacher))
            yield [((mine, ids), (its, ids))] if ids else []

    return "the teacher's own answers, each after its prompt", pairs()


def divergence(student: Rows, teacher: Rows) -> Rows:
    """Return the divergence of the student's distributions from the teacher's, in nat, (tokens,).

    The sum over the vocabulary of p_T (log p_T - log p_S), in float64. Where one model has columns for more tokens,
    which no tokeniser gives, both are taken over those that both have.

    Args:
        student: log-probabilities, (tokens, vocabulary).
        teacher: of the same shape, up to the number of columns.
    """
    columns = min(student.shape[1], teacher.shape[1])
    step = max(MOST_VALUES // columns, 1)
    parts = [
        _divergence(student[start : start + step, :columns], teacher[start : start + step, :columns])
        for start in range(0, len(student), step)
    ]
    return np.concatenate(parts)


def _divergence(student: Rows, teacher: Rows) -> Rows:
    mine, its = _normalised(student), _normalised(teacher)
    shares = np.exp(its)
    with np.errstate(invalid="ignore"):
        terms = np.where(shares > 0, shares * (its - mine), 0.0)
    nats: Rows = np.maximum(terms.sum(axis=1), 0.0).astype(np.float32)
    return nats


def _normalised(rows: Rows) -> npt.NDArray[np.float64]:
    """Return log-probabilities in float64 that add up to 1, which those of float32 do to seven digits only."""
    exact = rows.astype(np.float64)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    return exact
