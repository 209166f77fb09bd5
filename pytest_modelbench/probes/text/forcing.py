"""A student beside its teacher, token by token of stated texts: the same place, the same tokens before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.text_data import TextData, text_data
from pytest_modelbench.errors import DoesNotFit, MeasurementError, NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.text import LikelihoodModel
from pytest_modelbench.probes.kinds import GENERATIONS, TOP_TOKENS, Taking
from pytest_modelbench.probes.text.distributions import Rows, cut, divergence
from pytest_modelbench.probes.text.measured_likelihood import Forced, TopTokens
from pytest_modelbench.probes.text.windows import (
    Part,
    Windows,
    likelihood_model,
    log_probabilities,
    windows_for,
)

WHAT = "the fidelity of tokens"
NO_TEACHER = "it needs the probabilities of the teacher itself. Define teacher_model"
OTHER_TOKENS = (
    "the tokenisers of student and teacher differ, or are not known, so that nothing can be compared token by token. "
    "Write bits_per_byte, greedy_agreement or generation_similarity"
)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """Texts that a model is asked about.

    Attributes:
        how: what they are and how they are cut, in words.
        ids: the tokens of each.
        windows: how they are cut; None for answers, each of which is scored as a whole after its prompt.
    """

    how: str
    ids: Sequence[Sequence[int]]
    windows: Windows | None

    def parts(self, model: LikelihoodModel, data: TextData) -> Iterator[list[Part]]:
        """Yield the parts of each text: windows, or an answer after its prompt as the model's template has it."""
        if self.windows is not None:
            yield from (list(self.windows.parts(ids)) for ids in self.ids)
            return
        for prompt, ids in zip(data.prompts, self.ids, strict=True):
            yield [(model.prompt_ids(prompt, data.prompts.settings), list(ids))] if len(ids) else []


def take(taking: Taking) -> Forced:
    """Compare both models at every token of `texts=`; where there are none, of the teacher's own answers.

    Raises:
        NotApplicable: there is no teacher, a model gives no likelihoods, or their tokenisers differ.
        DoesNotFit: the data have neither texts nor prompts.
        ModelError: a model raised.
    """
    student, data = likelihood_model(taking.model, WHAT), text_data(taking.data)
    if taking.recorded:
        return _beside_recorded(taking, data, student)
    teacher = _teacher(taking.other("teacher"), student)
    stated = stated_texts(taking, data, teacher, student)
    theirs = (part for parts in stated.parts(teacher, data) for part in parts)

    def beside(part: Part) -> tuple[Rows, npt.NDArray[np.bool_]]:
        its = next(theirs)
        rows, other = log_probabilities(student, *part), log_probabilities(teacher, *its)
        return divergence(rows, other), rows.argmax(axis=1) == other.argmax(axis=1)

    with teacher.running():
        return _forced(taking, student, stated, stated.parts(student, data), beside)


def _teacher(model: Model | None, student: LikelihoodModel) -> LikelihoodModel:
    if model is None:
        raise NotApplicable(NO_TEACHER)
    teacher = likelihood_model(model, WHAT)
    if not student.vocabulary() or student.vocabulary() != teacher.vocabulary():
        raise NotApplicable(OTHER_TOKENS)
    return teacher


def _beside_recorded(taking: Taking, data: TextData, student: LikelihoodModel) -> Forced:
    """Compare a student with what a contract holds of the teacher: its likeliest tokens, and the rest as one."""
    teacher: TopTokens = taking.of(TOP_TOKENS, "teacher")
    if not teacher.vocabulary or student.vocabulary() != teacher.vocabulary:
        raise NotApplicable(OTHER_TOKENS)
    if teacher.size is not None and student.context is not None and student.context < teacher.size:
        raise MeasurementError(
            f"the teacher's contract has windows of {teacher.size} tokens, and the context of {student.name} is "
            f"{student.context}. Record it with window={student.context}"
        )
    windows = None if teacher.of_prompts else Windows(size=teacher.size, stride=teacher.stride, first=teacher.first)
    rest = float(np.exp(teacher.logs[:, -1].astype(np.float64)).mean())
    count = teacher.likeliest.shape[1]
    how = (
        f"{teacher.how}; the teacher's {count} likeliest tokens and the others as one, {rest:.2%} of its probability"
    )
    ids = [text.tolist() for text in np.split(teacher.ids, np.cumsum(teacher.sizes)[:-1])]
    stated = Stated(how=how, ids=ids, windows=windows)
    done = 0

    def beside(part: Part) -> tuple[Rows, npt.NDArray[np.bool_]]:
        nonlocal done
        place = slice(done, done + len(part[1]))
        done, rows, likeliest = place.stop, log_probabilities(student, *part), teacher.likeliest[place]
        agrees = np.asarray(rows.argmax(axis=1) == likeliest[:, 0])
        return divergence(cut(rows, likeliest), teacher.logs[place]), agrees

    return replace(_forced(taking, student, stated, stated.parts(student, data), beside), rest=rest)


def _forced(
    taking: Taking,
    student: LikelihoodModel,
    stated: Stated,
    texts: Iterable[list[Part]],
    beside: Callable[[Part], tuple[Rows, npt.NDArray[np.bool_]]],
) -> Forced:
    """Compare part by part, and keep one value for each token.

    Raises:
        MeasurementError: there is no token.
    """
    compared: list[tuple[Rows, npt.NDArray[np.bool_]]] = []
    sizes: list[int] = []
    with student.running():
        for parts in texts:
            for part in parts:
                compared.append(beside(part))
                taking.beat()
            sizes.append(sum(len(ids) for _, ids in parts))
    if not compared:
        raise MeasurementError("there is no token to compare: the texts, or the teacher's answers, are empty")
    return Forced(
        model=student.name,
        vocabulary=student.vocabulary(),
        how=stated.how,
        divergences=np.concatenate([nats for nats, _ in compared]),
        agrees=np.concatenate([agrees for _, agrees in compared]),
        sizes=np.array(sizes, dtype=np.intp),
        of_prompts=stated.windows is None,
    )


def stated_texts(
    taking: Taking, data: TextData, teacher: LikelihoodModel, student: LikelihoodModel | None = None
) -> Stated:
    """Return what models are compared on: the texts of the data, else the teacher's answers.

    Args:
        taking: whose options cut the texts.
        data: the evaluation data.
        teacher: whose answers and tokens are meant.
        student: whose context the windows fit as well, if it is there.

    Raises:
        NotApplicable: the teacher does not give the tokens of its answers.
        DoesNotFit: there are no texts that a model with an encoder can be asked about.
    """
    models = [model for model in (teacher, student) if model is not None]
    if data.texts is not None and not any(model.encodes for model in models):
        contexts = [model.context for model in models if model.context is not None]
        windows = windows_for(teacher, taking.options, min(contexts, default=None))
        return Stated(
            how=f"texts, {windows.told}", ids=[teacher.text_ids(text) for text in data.texts], windows=windows
        )
    if not data.has_prompts:
        raise DoesNotFit(
            "with an encoder, models are compared on the teacher's answers. Write EvalData(prompts=[...])"
        )
    answers = taking.of(GENERATIONS, "teacher").answers
    if any(answer.token_ids is None for answer in answers):
        raise NotApplicable(f"{teacher.name} does not give the tokens of its answers. Write EvalData(texts=[...])")
    ids = [answer.token_ids or () for answer in answers]
    return Stated(how="the teacher's own answers, each after its prompt", ids=ids, windows=None)
