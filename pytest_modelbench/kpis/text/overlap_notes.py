"""Notes on answers and references that make a score mean something else than it seems to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_modelbench.data.prompts import Prompt
from pytest_modelbench.kpis.text.evidence import Answered
from pytest_modelbench.kpis.text.failures_found import (
    is_empty,
    is_truncated,
    special_tokens,
    without_special_tokens,
)
from pytest_modelbench.kpis.text.words import most_common_script
from pytest_modelbench.probes.text.measured import Generations

_TOKENISED = re.compile(r"\w [.,](?: |$)")  # French has spaces before ! and ?
LEAST_ECHO = 8
UNSPACED_TOKENISERS = {
    "CJK": "tokenize='zh' for Chinese, 'ja-mecab' for Japanese",
    "Hangul": "tokenize='ko-mecab'",
    **dict.fromkeys(("Thai", "Lao", "Khmer", "Myanmar", "Tibetan"), "tokenize='char', or judge chrf"),
}
"""What to write for texts of a script that sacrebleu's tokenisers for spaced texts do not split into words."""
FOR_SPACES = frozenset({"13a", "intl", "none"})


def answer_notes(answered: Answered) -> tuple[str, ...]:
    """Return what is strange about the answers of each model, with how many they are."""
    return tuple(
        f"{role}: {note}" for role, answers in answered.answers.items() for note in _strange(answered, answers)
    )


def _strange(answered: Answered, answers: Generations) -> Iterator[str]:
    n, texts = len(answers), answers.texts
    empty = sum(map(is_empty, texts))
    if empty:
        yield "all answers are empty" if empty == n else f"{empty} of {n} answers are empty (empty_share)"
    elif n > 1 and len(set(texts)) == 1:
        yield f"all {n} answers are equal"
    if echoes := sum(map(starts_with_prompt, texts, answered.data.prompts)):
        yield f"{echoes} of {n} answers start with their prompt, which is scored too. Return the new text only"
    if marked := sum(bool(special_tokens(text)) for text in texts):
        yield f"{marked} of {n} answers have special tokens, which are scored too (special_token_share)"
    if cut := sum(bool(is_truncated(answer, answers.settings)) for answer in answers.answers):
        longest = answers.settings.max_new_tokens
        yield f"{cut} of {n} answers end at max_new_tokens={longest} (truncated_share)"


def starts_with_prompt(answer: str, prompt: Prompt) -> bool:
    """Return whether an answer, special tokens left out, begins with its prompt, or the last message of it."""
    text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"]) if prompt else ""
    text = text.strip()
    return len(text) >= LEAST_ECHO and without_special_tokens(answer).lstrip().startswith(text)


def tokeniser_notes(answered: Answered, tokenize: str) -> tuple[str, ...]:
    """Return what is wrong about texts that BLEU splits into words in a way."""
    references = [reference for several in answered.references for reference in several]
    script = most_common_script(references)
    notes = []
    if tokenize in FOR_SPACES and script in UNSPACED_TOKENISERS:
        notes.append(
            f"the references are mostly {script}, which tokenize={tokenize!r} does not split into words. Write "
            f"{UNSPACED_TOKENISERS[script]}"
        )
    texts = {**{role: answers.texts for role, answers in answered.answers.items()}, "references": tuple(references)}
    for name, listed in texts.items():
        if tokenize != "none" and looks_tokenised(listed):
            notes.append(f"{name}: most texts have spaces before punctuation, as if tokenised. Detokenise them")
    return tuple(notes)


def looks_tokenised(texts: Sequence[str]) -> bool:
    """Return whether more than half of some texts have a space between a word and a full stop or comma."""
    return 2 * sum(bool(_TOKENISED.search(text)) for text in texts) > len(texts)


def line_notes(answered: Answered) -> tuple[str, ...]:
    """Return which models write no lines though references have some: rougeLsum takes lines as sentences."""
    if not any("\n" in reference.strip() for several in answered.references for reference in several):
        return ()
    return tuple(
        f"{role}: no answer has more than one line, and references have; rougeLsum takes each line as a sentence"
        for role, texts in answered.texts().items()
        if not any("\n" in text for text in texts)
    )
