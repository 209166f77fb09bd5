"""Language models of Hugging Face: tiny random ones, a tokeniser trained here, and no hub."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_text
import torch
from safetensors.torch import save_file
from suites import Judge
from tiny_text import PROMPTS, adapted
from torch.nn.functional import cross_entropy

from pytest_modelbench.data.prompts import GenerationSettings, Prompts
from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.adapters.text_tokens import Detokeniser, TextTokens
from pytest_modelbench.models.saved import Filled
from pytest_modelbench.models.text import CacheSize, LikelihoodModel
from pytest_modelbench.probes.answers.layers import first_nonfinite

SETTINGS = GenerationSettings(max_new_tokens=8)
PREFILL_NS, STEP_NS = 100_000_000, 10_000_000
LEAVES = "tokens; the context of 64 minus max_new_tokens=8 leaves 56. Shorten the prompt"
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_text.tokenizer()


@pytest.fixture(scope="module", params=["llama", "gpt2", "t5", "bart"])
def any_model(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    return adapted(tiny_text.module(request.param), tokenizer)


@pytest.fixture(scope="module")
def llama(tokenizer: Any) -> Any:
    return adapted(tiny_text.module("llama"), tokenizer)


def generate(model: Any, prompts: Any = tuple(PROMPTS), settings: GenerationSettings = SETTINGS) -> list[Any]:
    with model.running():
        return list(model.generating(prompts, settings)())


def ending_in(model: Any, end: int) -> Any:
    """Return the model with another end token."""
    module = model.copied_module()
    module.generation_config.eos_token_id = end
    return adapted(module, model.tokens.tokenizer)


@pytest.fixture
def ticking(llama: Any) -> Iterator[tuple[Any, list[int]]]:
    """A model whose forward passes take scripted times, and how many tokens each pass had."""
    widths: list[int] = []
    now = [0]
    model = llama.named("timed")

    def before(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        width = int(kwargs["input_ids"].shape[1])
        widths.append(width)
        now[0] += PREFILL_NS if width > 1 else STEP_NS

    handle = llama.module.register_forward_pre_hook(before, with_kwargs=True)
    model.clock_ns = lambda: now[0]
    yield model, widths
    handle.remove()


def test_a_batch_answers_as_one_prompt_at_a_time(any_model: Any) -> None:
    """Padding is on the side of the architecture, is masked and never counted, and the tokenizer keeps its own."""
    together = generate(any_model)
    for answer, prompt in zip(together, PROMPTS, strict=True):
        (alone,) = generate(any_model, [prompt])
        ids = any_model.tokens.tokenizer(prompt, return_tensors="pt").input_ids
        reference = any_model.module.generate(ids, max_new_tokens=8, do_sample=False, forced_eos_token_id=None)[0]
        new = reference[1 if any_model.encodes else ids.shape[1] :].tolist()
        assert answer.token_ids == alone.token_ids == tuple(new)
        assert answer.usage == {"prompt_tokens": ids.shape[1], "completion_tokens": 8}
        assert answer.text == any_model.tokens.tokenizer.decode(new, skip_special_tokens=True)
        assert answer.finish == "length"
    assert any_model.tokens.tokenizer.padding_side == "right"
    assert len({answer.text for answer in together}) > 1 or any_model.encodes


def test_forced_is_the_likelihood_of_the_same_model(any_model: Any) -> None:
    """A model's own greedy answer is its likeliest token at each place, and the sum is torch's cross-entropy."""
    before = any_model.prompt_ids(PROMPTS[0], SETTINGS)
    (answer,) = generate(any_model, [PROMPTS[0]])
    own = any_model.forced(before, answer.token_ids)
    assert own.argmax(axis=1).tolist() == list(answer.token_ids)
    ids = any_model.text_ids("a model judged beside its teacher")
    rows = any_model.forced(before, ids)
    assert (rows.dtype, rows.shape) == (np.float32, (len(ids), 300))
    with torch.no_grad():
        if any_model.encodes:
            start = any_model.module.config.decoder_start_token_id
            inputs = {"input_ids": torch.tensor([before]), "decoder_input_ids": torch.tensor([[start, *ids]])}
            logits = any_model.module(**inputs).logits[0, :-1]
        else:
            logits = any_model.module(torch.tensor([before + ids])).logits[0, len(before) - 1 : -1]
    expected = float(cross_entropy(logits, torch.tensor(ids), reduction="sum"))
    assert -rows[np.arange(len(ids)), ids].sum() == pytest.approx(expected, rel=1e-5)
    assert any_model.forced(before, []).shape == (0, 300)


def test_cache_is_counted_and_computed(any_model: Any) -> None:
    """The tensors of the cache after a prompt have the size that the configuration gives."""
    numbers = {"llama": 2 * 2 * 2 * 8, "gpt2": 2 * 2 * 4 * 8, "t5": 2 * 2 * 4 * 8, "bart": 2 * 3 * 4 * 8}
    name = any_model.module.config.model_type
    expected = numbers[name] * 4 * (10 + any_model.encodes)
    assert any_model.cache_after(10) == CacheSize(tokens=10, counted_bytes=expected, expected_bytes=expected)


def test_time_of_each_token(ticking: tuple[Any, list[int]]) -> None:
    """The first token comes after the one prefill, each other one a step later; the pieces hold all tokens."""
    model, widths = ticking
    (answer,) = generate(model, [PROMPTS[0]])
    assert widths == [len(model.prompt_ids(PROMPTS[0], SETTINGS)), *[1] * 7]
    assert sum(piece.tokens or 0 for piece in answer.pieces) == 8
    tokens = list(itertools.accumulate(piece.tokens or 0 for piece in answer.pieces))
    assert [piece.at_ns for piece in answer.pieces] == [PREFILL_NS + STEP_NS * (number - 1) for number in tokens]
    assert (answer.start_ns, answer.end_ns) == (0, PREFILL_NS + 7 * STEP_NS)
    assert answer.time_per_output_token.ms == pytest.approx(10)
    assert answer.time_to_first_token.ms == pytest.approx(100 + 10 * (tokens[0] - 1))


def test_rows_end_where_they_end(llama: Any) -> None:
    """Rows of a batch end at their own end token; it and the padding after it are in no text, count and time."""
    whole = generate(llama)
    end = whole[1].token_ids[3]
    assert end not in whole[0].token_ids
    model = ending_in(llama, end)
    ticks = itertools.count()
    model.clock_ns = lambda: next(ticks)
    first, second, *_ = generate(model)
    cut = whole[1].token_ids.index(end)
    assert (second.token_ids, second.finish, second.tokens) == (whole[1].token_ids[:cut], "stop", cut)
    assert (first.token_ids, first.finish, first.tokens) == (whole[0].token_ids, "length", 8)
    assert (second.end_ns - second.start_ns, first.end_ns - first.start_ns) == (cut + 1, 8)


def test_exactly(llama: Any) -> None:
    """Each answer has as many tokens as asked for, whatever its end token or stop texts."""
    end = generate(llama)[1].token_ids[3]
    settings = GenerationSettings(max_new_tokens=12, exactly=True, stop=("e",))
    answers = generate(ending_in(llama, end), settings=settings)
    assert [(answer.tokens, answer.finish) for answer in answers] == [(12, "length")] * len(PROMPTS)


def test_stop_texts_are_cut_from_each_row(ticking: tuple[Any, list[int]]) -> None:
    """The answer ends before the stop text, in a batch as alone, and generation ends with the last row."""
    model, widths = ticking
    whole = generate(model, [PROMPTS[1]])[0]
    stop = whole.text[3:5]
    settings = GenerationSettings(max_new_tokens=8, stop=(stop, "never said"))
    together = generate(model, settings=settings)[1]
    widths.clear()
    (alone,) = generate(model, [PROMPTS[1]], settings)
    assert alone.text == together.text == whole.text[: whole.text.index(stop)]
    assert alone.token_ids == together.token_ids == whole.token_ids[: len(alone.token_ids)]
    assert (alone.finish, together.finish) == ("stop", "stop")
    assert len(widths) < 8
    assert alone.tokens == sum(piece.tokens or 0 for piece in alone.pieces)


def test_characters_of_several_tokens(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece comes with the last token of its last character; bytes that never become one are at the end."""
    ids = [*llama.text_ids("ab é"), *llama.text_ids("€")[:2]]
    spoken = torch.tensor([[0, *ids]])

    def say(input_ids: Any, stopping_criteria: Any, **_: Any) -> Any:
        for end in range(2, spoken.shape[1] + 1):
            stopping_criteria(spoken[:, :end], None)
        return spoken

    monkeypatch.setattr(llama.module, "generate", say)
    ticks = itertools.count(0, 10)
    model = llama.named("speaking")
    model.clock_ns = lambda: next(ticks)
    (answer,) = generate(model, ["a"])
    texts = [(piece.text, piece.tokens) for piece in answer.pieces]
    assert "".join(text for text, _ in texts) == "ab é\N{REPLACEMENT CHARACTER}"
    whole = next(piece for piece in answer.pieces if piece.text.endswith("é"))
    assert whole.tokens == 2
    assert sum(tokens or 0 for _, tokens in texts) == len(ids)
    assert answer.pieces[-1].at_ns == answer.end_ns


@pytest.mark.parametrize("kind", ["bytes", "metaspace", "pieces"])
def test_pieces_are_the_whole_text(kind: str) -> None:
    """What tokens add one by one is the text of all, also where a token's text depends on those before it."""
    tokenizer = tiny_text.tokenizer() if kind == "bytes" else tiny_text.word_tokenizer(kind)
    tokens = TextTokens(tokenizer)
    random = np.random.default_rng(0)
    for length in range(1, 40):
        ids = [int(token) for token in random.integers(0, len(tokenizer), length)]
        detokeniser = Detokeniser(tokens.text_of)
        texts = [detokeniser.add(token) for token in ids]
        assert "".join([*texts, detokeniser.rest()]) == tokens.text_of(ids)
        assert any(texts) or kind == "bytes" or length == 1


def test_sampling_of_the_configuration_is_overridden(tokenizer: Any) -> None:
    """A configuration that samples, searches and stops early decodes greedily, and the report has its values."""
    plain, sampling = tiny_text.module("llama"), tiny_text.module("llama")
    changed = {"do_sample": True, "temperature": 5.0, "top_p": 0.9, "num_beams": 4, "max_time": 1e-9, "max_length": 3}
    sampling.generation_config.update(**changed, repetition_penalty=1.0, suppress_tokens=None)
    model = adapted(sampling, tokenizer)
    assert generate(model)[0].token_ids == generate(adapted(plain, tokenizer))[0].token_ids
    decoding = model.describe()["decoding"]
    assert (decoding["method"], decoding["overridden"], decoding["kept"]) == ("greedy", changed, {})
    sampling.generation_config.update(repetition_penalty=9.0)
    assert adapted(sampling, tokenizer).describe()["decoding"]["kept"] == {"repetition_penalty": 9.0}


@pytest.mark.parametrize(
    ("prompt", "settings", "text"),
    [
        ("hi", {}, "<user>hi\n<assistant>"),
        ("hi", {"chat": "always", "system": "be short"}, "<system>be short\n<user>hi\n<assistant>"),
        ("hi", {"chat": "never"}, "hi"),
        ([{"role": "user", "content": "hi"}], {"chat": "never"}, "<user>hi\n<assistant>"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so"}], {}, "<user>hi\n<assistant>so"),
    ],
)
def test_chat_template(prompt: Any, settings: dict[str, Any], text: str) -> None:
    """A string is the user's message where there is a template, lists always are chats; an answer goes on."""
    tokenizer = tiny_text.tokenizer()
    tokenizer.chat_template = CHAT
    model = adapted(tiny_text.module("llama"), tokenizer)
    assert model.text_of(model.prompt_ids(prompt, GenerationSettings(**settings))) == text
    assert model.describe()["tokenizer"]["chat_template"] is True


@pytest.mark.parametrize(
    ("prompt", "settings", "message"),
    [
        (
            "hi",
            {"chat": "always"},
            "prompt 0 of the batch: it is a chat, and the tokenizer has no chat template. Set",
        ),
        ([{"role": "user", "content": "hi"}], {}, "it is a chat, and the tokenizer has no chat template"),
        (
            "hi",
            {"system": "be short"},
            "system= is for chats, and the tokenizer has no chat template. Remove system=",
        ),
        ("hi", {"system": "be short", "chat": "never"}, "system= is for chats, and chat='never'"),
        (3, {}, "prompt 1 of the batch: it is 3; expected a string, or a list such as"),
        ([], {}, r"it is \[\]; expected a string"),
        ("", {}, "the tokenizer makes no token of ''. Write a prompt that has text"),
        (
            "a" * 60,
            {},
            rf"prompt 1 of the batch \('a+'\) has 60 {LEAVES}, or write EvalData\(..., max_new_tokens=4\)",
        ),
        ("a" * 70, {}, f"has 70 {LEAVES}$"),
    ],
)
def test_prompts_that_cannot_be_answered(llama: Any, prompt: Any, settings: dict[str, Any], message: str) -> None:
    """Each is one error with the prompt's number, before anything is generated."""
    settings = {"max_new_tokens": 8, **settings}
    with pytest.raises(ModelError, match=f"student: {message}|student.*{message}"):
        llama.generating(["a", prompt], GenerationSettings(**settings))


def test_texts_longer_than_the_context(llama: Any, tokenizer: Any) -> None:
    """A likelihood or a cache of more tokens than the context is refused, as is a text without a start."""
    for call in (lambda: llama.forced([0] * 60, [3] * 5), lambda: llama.cache_after(64)):
        with pytest.raises(ModelError, match="student takes 64 tokens at once, found 65"):
            call()
    with pytest.raises(ModelError, match=r"forced\(\) needs at least one token"):
        llama.forced([], [3])
    with pytest.raises(ModelError, match="student: prompt 0.* has 70 tokens; the context of 64 leaves 64. Shorten"):
        adapted(tiny_text.module("bart"), tokenizer).generating(["a" * 70], SETTINGS)
    with pytest.raises(
        ModelError, match="student takes 64 tokens, and max_new_tokens is 65. Write max_new_tokens=64"
    ):
        adapted(tiny_text.module("bart"), tokenizer).generating(["a"], GenerationSettings(max_new_tokens=65))


def wrong(case: str) -> Any:
    tokenizer, module = tiny_text.tokenizer(), tiny_text.module("llama")
    return {
        "order": (tokenizer, module),
        "no generate": (torch.nn.Linear(2, 2), tokenizer),
        "no tokenizer": (module, str.split),
    }[case]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("order", r"student is \(TokenizersBackend, LlamaForCausalLM\). Return \(module, tokenizer\)"),
        ("no generate", r"student is a Linear, which has no generate\(\). Load it with AutoModelForCausalLM"),
        ("no tokenizer", "student: the tokenizer is <method 'split'.*expected one of transformers, such as"),
    ],
)
def test_pairs_that_are_none(case: str, message: str) -> None:
    """Another order, a module that does not generate, or no tokenizer: one error."""
    with pytest.raises(ModelError, match=message):
        adapted(*wrong(case))


def test_tokenizer_of_another_model(llama: Any) -> None:
    """Ids without an embedding are refused with both numbers; such tokens without a use are no difference."""
    larger = tiny_text.tokenizer(size=400)
    model = adapted(llama.module, larger)
    with pytest.raises(ModelError, match=r"gives the id 3\d\d \(4\d\d tokens\), and the module has 300 embeddings"):
        generate(model, ["The teacher and the student"])
    with pytest.raises(ModelError, match="300 embeddings"):
        model.text_ids("The teacher and the student")
    unused = tiny_text.tokenizer()
    unused.add_tokens(["<|unused|>"])
    for same in (unused, tiny_text.tokenizer(pad=None)):
        assert adapted(llama.module, same).vocabulary() == llama.vocabulary()
    assert adapted(llama.module, tiny_text.tokenizer(size=290)).vocabulary() != llama.vocabulary()


def test_tokenizer_without_padding_token(llama: Any) -> None:
    """The end token fills up, and the report says so; the answers are the same."""
    model = adapted(llama.module, tiny_text.tokenizer(pad=None))
    assert [answer.token_ids for answer in generate(model)] == [answer.token_ids for answer in generate(llama)]
    decoding = model.describe()["decoding"]
    assert decoding["padding_token"] == 1
    assert decoding["notes"] == ["the tokenizer has no padding token: the end token is used"]


def test_end_tokens(llama: Any) -> None:
    """The model's end tokens count; the tokenizer's is used where it names none, and a difference is noted."""
    assert ending_in(llama, 7).describe()["decoding"]["notes"] == [
        "the tokenizer's end token 1 is not among the model's ([7]) and ends no answer"
    ]
    none = ending_in(llama, 7)
    none.module.generation_config.eos_token_id = None
    again = adapted(none.module, llama.tokens.tokenizer)
    assert again.describe()["decoding"]["end_tokens"] == [1]


def test_numbers_go_to_the_module(llama: Any) -> None:
    """A mapping of ids gives logits, a list of prompts texts; both by the same model."""
    ids = torch.tensor([llama.prompt_ids("a b", SETTINGS)])
    assert llama({"input_ids": ids}).logits.shape == (1, ids.shape[1], 300)
    answers = llama(Prompts(PROMPTS, SETTINGS))
    assert answers.tolist() == [answer.text for answer in generate(llama)]
    assert llama.bind([]) is not None


def test_copies_keep_the_tokenizer(llama: Any) -> None:
    """A replica answers the same from its own weights; equal models have equal hashes, other tokenizers others."""
    copy = llama.replicate()
    assert copy.module is not llama.module
    assert generate(copy)[0].token_ids == generate(llama)[0].token_ids
    assert copy.fingerprint() == llama.fingerprint() == llama.named("teacher").fingerprint()
    assert "object" not in llama.fingerprint()
    assert adapted(llama.module, tiny_text.tokenizer(size=290)).fingerprint() != llama.fingerprint()
    assert llama.count_parameters().total == sum(p.numel() for p in llama.module.parameters())
    assert llama.token_count("a b") == len(llama.text_ids("a b")) == 2


def test_weights_are_looked_for_in_a_forward_pass(tokenizer: Any) -> None:
    """A buffer that may be a weight is decided, and no tensor of `generate()` is taken for one."""
    model = adapted(tiny_text.module("bart"), tokenizer)
    before = model.count_parameters()
    model.look(Prompts(PROMPTS, SETTINGS))
    after = model.count_parameters()
    assert (before.unsure, after.unsure, after.total) == (300, 0, before.total)


def test_weights_beside_a_factory(llama: Any, tokenizer: Any, tmp_path: Path) -> None:
    """A factory that makes (module, tokenizer) is filled from a file, which is the artefact."""
    other = tiny_text.module("llama")
    with torch.no_grad():
        other.lm_head.weight.zero_()
    save_file(llama.module.state_dict(), tmp_path / "weights.safetensors")
    filled = Filled((other, tokenizer), tmp_path / "weights.safetensors")
    model = adapted(filled)
    assert [answer.token_ids for answer in generate(model)] == [answer.token_ids for answer in generate(llama)]
    assert model.artefact().size_bytes == (tmp_path / "weights.safetensors").stat().st_size
    assert "tokenizer:" in model.fingerprint()
    assert generate(model.replicate(), ["a"])[0].tokens == 8
    with pytest.raises(ModelError, match="holds weights, and the factory made a TokenizersBackend; expected a torch"):
        adapted(Filled((tokenizer, other), tmp_path / "weights.safetensors"))


def test_first_token(tokenizer: Any) -> None:
    """The special token that the tokenizer puts before a text; one after it, as of T5, is none."""
    module = tiny_text.module("llama")
    firsts = [adapted(module, tiny_text.tokenizer(template=form)).first_token for form in (None, "<s> $A", "$A </s>")]
    assert firsts == [None, 0, None]


def test_nan_goes_through(tokenizer: Any) -> None:
    """NaN weights give NaN rows, and the layer where they begin has its name."""
    module = tiny_text.module("llama")
    with torch.no_grad():
        module.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    model = adapted(module, tokenizer)
    assert np.isnan(model.forced([0], [3, 4])).all()
    assert generate(model, ["a"])[0].tokens is not None
    settings = GenerationSettings(max_new_tokens=1)
    assert first_nonfinite(model, Prompts(["a"], settings)) == "model.layers.1.mlp.up_proj (Linear)"


def test_model_without_a_cache(tokenizer: Any) -> None:
    """The configuration's use_cache holds; a cache that is not kept has no size."""
    module = tiny_text.module("llama")
    module.config.use_cache, module.generation_config.use_cache = False, None
    model = adapted(module, tokenizer)
    assert model.describe()["decoding"]["cache"] is False
    with pytest.raises(NotApplicable, match="student keeps no cache"):
        model.cache_after(4)
    assert generate(model)[0].tokens == 8


def test_each_token_is_heard(llama: Any) -> None:
    """A long answer is no call that never returns: the watchdog is told of each token."""
    beats: list[int] = []
    model = llama.named("heard")
    model.beat = lambda: beats.append(1)
    generate(model)
    assert len(beats) == 8


def test_model_that_raises(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the module is one line that names the model, also of its likelihood."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory\nmore")

    monkeypatch.setattr(llama.module.model, "forward", fail)
    calls: list[Callable[[], Any]] = [lambda: llama(Prompts(["a"], SETTINGS)), lambda: llama.forced([0], [3])]
    for call in calls:
        with pytest.raises(ModelError, match=r"student raised RuntimeError on inputs of shape .*: out of memory$"):
            call()


def test_folder_with_a_tokenizer(llama: Any, tmp_path: Path) -> None:
    """A folder of save_pretrained() generates; without tokenizer files it takes ids as before."""
    llama.module.save_pretrained(tmp_path / "ids")
    plain = adapted(tmp_path / "ids")
    assert not isinstance(plain, LikelihoodModel)
    llama.module.save_pretrained(tmp_path / "saved")
    llama.tokens.tokenizer.save_pretrained(tmp_path / "saved")
    model = adapted(tmp_path / "saved")
    assert [answer.token_ids for answer in generate(model)] == [answer.token_ids for answer in generate(llama)]
    assert model.vocabulary() == llama.vocabulary()
    assert model.artefact().size_bytes == sum(file.stat().st_size for file in (tmp_path / "saved").iterdir())
    assert (model.describe()["format"], model.describe()["file"]) == ("Hugging Face", "saved")
    for each in (plain, model):
        assert each({"input_ids": torch.tensor([[3, 4]])}).logits.shape == (1, 2, 300)
    copy = model.replicate()
    assert copy is not None
    assert generate(copy)[0].token_ids == generate(model)[0].token_ids
    (tmp_path / "saved" / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"student: the tokenizer in .*saved cannot be loaded by transformers"):
        adapted(tmp_path / "saved")


def test_pipeline_that_generates(llama: Any) -> None:
    """A pipeline for text is its model and tokenizer: new tokens only, and the data's settings."""
    from transformers import pipeline

    made = pipeline(
        "text-generation", model=llama.copied_module(), tokenizer=tiny_text.tokenizer(), device="cpu", do_sample=True
    )
    model = adapted(made)
    assert [answer.text for answer in generate(model)] == [answer.text for answer in generate(llama)]
    made.task, made.prefix = "translation_en_to_de", "translate: "
    assert adapted(made).prompt_ids("hi", SETTINGS) == llama.prompt_ids("translate: hi", SETTINGS)


def test_gguf_file(llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its unpacked weights are those of the file, its size is that of the file, and its tokens are the same."""
    expected = tiny_text.write_gguf(tmp_path / "tiny.gguf", llama.module, llama.tokens.tokenizer)
    model = adapted(tmp_path / "tiny.gguf")
    ids = llama.text_ids("A model")
    assert np.allclose(model.forced([0], ids), adapted(expected, llama.tokens.tokenizer).forced([0], ids), atol=1e-4)
    assert not np.allclose(model.forced([0], ids), llama.forced([0], ids), atol=1e-4)
    assert (model.text_ids("A model"), model.vocabulary()) == (ids, llama.vocabulary())
    assert model.artefact().size_bytes == (tmp_path / "tiny.gguf").stat().st_size
    assert model.describe()["weights"] == "unpacked by transformers to torch.float32"
    assert generate(model)[0].tokens == 8
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(ModelError, match=r"broken.gguf cannot be loaded by transformers as GGUF: .*Serve it with"):
        adapted(tmp_path / "broken.gguf")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "accelerate" else name)
    with pytest.raises(ModelError, match=r"with the packages gguf and accelerate; missing: accelerate. Install: pip"):
        adapted(tmp_path / "tiny.gguf")


def test_language_models_are_judged(judge: Judge) -> None:
    """End to end: fixtures that return tuples, greedy answers compared with those of the module itself."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("exact_match", "== 100%")
        @pytest.mark.kpi("parameters", "<= 100k")
        @pytest.mark.kpi("size_on_disk", "<= 1 MB")
        def test_text(): ...
        """,
        fakes="""
import pytest, tiny_text
from pytest_modelbench import EvalData
MODULE, TOKENIZER = tiny_text.module("llama"), tiny_text.tokenizer()
@pytest.fixture(scope="session")
def teacher_model(): return MODULE, TOKENIZER
@pytest.fixture(scope="session")
def student_model(): return tiny_text.module("llama"), TOKENIZER
@pytest.fixture(scope="session")
def eval_data():
    answers = []
    for prompt in tiny_text.PROMPTS:
        ids = TOKENIZER(prompt, return_tensors="pt").input_ids
        new = MODULE.generate(ids, max_new_tokens=6, do_sample=False)[0, ids.shape[1]:]
        answers.append(TOKENIZER.decode(new))
    return EvalData(task="text", prompts=tiny_text.PROMPTS, references=answers, max_new_tokens=6, batch_size=2)
""",
    )
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["pass"] * 3, finished.text
