"""Corruptions in real pytest runs: one pass for all KPIs, custom ones, students that cannot answer, and what is refused."""

from __future__ import annotations

import pytest
from suites import FAKES, Judge

from pytest_modelbench.commands.cli import main

IMAGES = """
from pytest_modelbench import register_corruption

RNG = np.random.default_rng(0)
LABELS = np.arange(120) % 3
SHAPES = np.eye(3)[LABELS].repeat(12, 1).reshape(120, 1, 6, 6)
PLAIN = np.clip(0.7 * RNG.random((120, 1, 6, 6)) + SHAPES * 0.25, 0, 1)
PLAIN[0, 0, 0, 0], PLAIN[0, 0, 5, 5] = 1, 0

def by_rows(batch):
    '''Logits: the mean of each pair of rows.'''
    return np.asarray(batch).reshape(len(batch), 3, 12).mean(axis=2) * 9

def by_one_pixel(batch):
    '''Logits: the first pixel of each pair of rows, which noise changes.'''
    return np.asarray(batch).reshape(len(batch), 3, 12)[:, :, 0] * 9

TEACHER, STUDENT = teacher(outputs=by_rows), student(outputs=by_one_pixel)

@register_corruption("rain")
def rain(image, severity, rng):
    return np.where(rng.random(image.shape) < 0.1 * severity, 1.0, image)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(PLAIN, LABELS, batch_size=50)
"""
EVERY = """
import pytest
@pytest.mark.kpi("corruption_accuracy", "drop <= 90 pp")
@pytest.mark.kpi("worst_corruption_accuracy", "drop <= 90 pp")
@pytest.mark.kpi("corruption_drop", "<= 90 pp")
@pytest.mark.kpi("mce", min_errors=1)
@pytest.mark.kpi("relative_mce", min_errors=1)
@pytest.mark.kpi("corruption_error_ratio", min_errors=1)
@pytest.mark.kpi("corruption_invariance", ">= 1%")
def test_all(): ...
"""
BY_RAIN = ', corruptions="rain", severities=[5]'


def test_one_pass_of_each_corruption_serves_every_kpi(judge: Judge) -> None:
    """Eighteen corruptions that fit grey images at three severities are 54 passes of three batches, and one clean pass."""
    finished = judge(EVERY, more=IMAGES)
    assert finished.result.ret == 0, finished.text
    models = finished.report["models"]
    assert models["teacher"]["forward_passes"] == models["students"]["student"]["forward_passes"] == 3 * 55
    accuracy = finished.gate("corruption_accuracy")
    assert len(accuracy["breakdown"]) == 54
    assert accuracy["readings"]["teacher"]["value"] > accuracy["readings"]["student"]["value"] + 5
    assert "saturate left out: the inputs have no third colour channel" in accuracy["notes"]
    assert "18 corruptions at severity 1, 3, 5, 120 samples, seed 0" in accuracy["readings"]["student"]["method"]


@pytest.mark.slow
def test_workers_share_the_passes(judge: Judge) -> None:
    """In a parallel run each corruption and severity is one pass of each model all the same."""
    tests = "\n".join(
        f"@pytest.mark.kpi('{kpi}', corruptions=['fog', 'contrast'])\ndef test_{kpi}(): ..."
        for kpi in ("corruption_accuracy", "corruption_drop", "corruption_error_ratio", "corruption_invariance")
    )
    finished = judge(f"import pytest\n{tests}", "-n2", more=IMAGES)
    assert set(finished.verdicts.values()) == {"reported"}, finished.text
    models = finished.report["models"]
    assert models["teacher"]["forward_passes"] == models["students"]["student"]["forward_passes"] == 3 * (1 + 6)


def test_other_forms_of_data(judge: Judge) -> None:
    """A DataLoader of tensors, and a list of texts for a model that takes strings."""
    loader = """
import torch
from torch.utils.data import DataLoader, TensorDataset

@pytest.fixture(scope="session")
def eval_data():
    return DataLoader(TensorDataset(torch.as_tensor(PLAIN), torch.as_tensor(LABELS)), batch_size=32)
"""
    test = "import pytest\n@pytest.mark.kpi('corruption_drop', '<= 90 pp', severities=[5])\ndef test_a(): ..."
    expected = judge(test, more=IMAGES).gate("corruption_drop")["readings"]["student"]["value"]
    assert judge(test, more=IMAGES + loader).gate("corruption_drop")["readings"]["student"]["value"] == expected
    texts = """
WORDS = ["yes indeed, with pleasure", "no, not at all today"] * 60
def exact(batch): return np.array([[text == WORDS[0], text == WORDS[1]] for text in batch]) * 5.0
def first(batch): return np.array([["yes" in text, "no" in text] for text in batch]) * 5.0
TEACHER, STUDENT = teacher(outputs=first), student(outputs=exact)
@pytest.fixture(scope="session")
def eval_data(): return EvalData(WORDS, np.arange(120) % 2)
"""
    gate = judge(test, more=texts).gate("corruption_drop")
    assert len([row for row in gate["breakdown"] if ":" in row["name"]]) == 7
    assert 30 < gate["readings"]["student"]["value"] < 60


def test_the_seed_is_part_of_the_data(judge: Judge) -> None:
    """The same for one seed, whatever else runs; another for another (trap 16)."""
    test = "import pytest\n@pytest.mark.kpi('corruption_accuracy', corruptions='gaussian_noise', range=(0, 3))\ndef test_a(): ..."

    def value(*options: str) -> float:
        return float(judge(test, *options, more=IMAGES).gate("corruption_accuracy")["readings"]["student"]["value"])

    first = value()
    assert value() == first
    assert value("--modelbench-seed=1") != first


def test_samples_and_seeds(judge: Judge) -> None:
    """A part with each class in proportion, the same for both models; each seed is one more pass."""
    finished = judge(
        "import pytest\n"
        "@pytest.mark.kpi('corruption_drop', '<= 90 pp', corruptions=['rain'], severities=(2,), samples=60, seeds=2)\n"
        "def test_a(): ...",
        more=IMAGES,
    )
    gate = finished.gate("corruption_drop")
    assert "60 of 120 samples (each class in proportion), seed 0, 1" in gate["readings"]["student"]["method"]
    assert gate["options"]["corruptions"] == ["rain"]
    assert finished.report["models"]["students"]["student"]["forward_passes"] == 3 + 2 * 2


def test_quality_under_a_corruption(judge: Judge) -> None:
    """Any quality KPI, beside the same one on the data as they are; a custom corruption by its name or by its place."""
    finished = judge(
        """
        import pytest
        def bright(image, severity, rng): return image.clip(0.1 * severity)
        @pytest.mark.kpi("f1", ">= 30%")
        @pytest.mark.kpi("f1", ">= 90%", under="rain:5")
        @pytest.mark.kpi("flips", "<= 99%", under="test_sla:bright:1")
        @pytest.mark.kpi("mine", metric=lambda targets, labels: float((targets == labels).mean()), better="higher",
                         unit="", under="gaussian_noise:5", range=(0, 1))
        def test_both(): ...
        """,
        more=IMAGES,
    )
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == {
        "f1": "pass", "f1 under rain:5": "fail", "flips under test_sla:bright:1": "pass",
        "mine under gaussian_noise:5": "reported",
    }  # fmt: skip
    assert finished.gate("f1 under rain:5")["options"]["under"] == "rain:5"
    assert "f1 under rain:5 of student: FAIL: >= 90% does not hold" in finished.text


def test_answers_under_a_corruption_are_not_those_of_production(judge: Judge) -> None:
    """What the report says of the student's answers is about the data as they are, whichever gate is judged first."""
    under = '@pytest.mark.kpi("top1_accuracy", under="rain:5")\ndef test_a(): ...\n'
    plain = '@pytest.mark.kpi("f1", ">= 1%")\ndef test_b(): ...\n'
    both = judge(f"import pytest\n{under}{plain}", more=IMAGES).report["models"]["students"]["student"]
    alone = judge(f"import pytest\n{plain}", more=IMAGES).report["models"]["students"]["student"]
    assert both["answers"]
    assert both["answers"] == alone["answers"]


def test_in_a_file(judge: Judge, pytester: pytest.Pytester) -> None:
    """modelbench.toml takes the same words, and registered corruptions of the conftest.py."""
    (pytester.path / "modelbench.toml").write_text(
        """
        [kpi.corruption_drop]
        limits = "<= 90 pp"
        corruptions = ["rain", "contrast"]
        severities = [1, 5]
        [kpi.noisy]
        kpi = "top1_accuracy"
        limits = "drop <= 90 pp"
        under = "rain:2"
        """
    )
    finished = judge("", more=IMAGES)
    assert finished.verdicts == {
        "modelbench.toml::corruption_drop:corruption_drop": "pass",
        "modelbench.toml::noisy:top1_accuracy under rain:2": "pass",
    }


def test_with_a_contract(judge: Judge) -> None:
    """Values are recorded and compared; what pairs answers to corrupted inputs needs the teacher, and says so."""
    test = """
        import pytest
        @pytest.mark.kpi("corruption_accuracy", "drop <= 90 pp", corruptions="rain", severities=[5])
        @pytest.mark.kpi("corruption_drop", "<= 90 pp", corruptions="rain", severities=[5])
        @pytest.mark.kpi("f1", "drop <= 90 pp", under="rain:5")
        @pytest.mark.kpi("flips", "<= 99%", under="rain:5")
        def test_all(): ...
    """
    recorded = judge(test, "--modelbench-record-contract=teacher.mbc", more=IMAGES)
    assert recorded.gate("corruption_drop")["reason"] == (
        "it compares student and teacher under corruptions, which no contract can hold"
    )
    finished = judge(test, "--modelbench-contract=teacher.mbc", more=IMAGES)
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == {
        "corruption_accuracy": "pass", "corruption_drop": "not_applicable", "f1 under rain:5": "pass",
        "flips under rain:5": "not_applicable",
    }  # fmt: skip
    assert "Judge it where the teacher is" in finished.gate("flips under rain:5")["reason"]


def test_plan_shows_the_cost(judge: Judge) -> None:
    """What is known before the data are read: the most that `auto` may come to, or the number of named ones."""
    finished = judge(
        EVERY + "@pytest.mark.kpi('f1', under='rain:3')\ndef test_more(): ...\n"
        "@pytest.mark.kpi('mce', corruptions=['fog', 'rain'], severities=[5], samples=50, seeds=3)\ndef test_mce(): ...\n",
        "--modelbench-plan",
        more=IMAGES,
    )
    lines = finished.text
    assert (
        "corrupted student and teacher: corruption_accuracy, worst_corruption_accuracy, corruption_drop, mce" in lines
    )
    assert "up to 19 corruptions x 3 severities x 1,000 samples: up to 57,000 samples for each model" in lines
    assert "2 corruptions x 1 severities x 3 seeds x 50 samples: 300 samples for each model" in lines
    assert "pass     student over the evaluation data under rain:3: f1 under rain:3" in lines


def test_suite(judge: Judge) -> None:
    """Every KPI of robustness; what is for regression is left out; where no range is safe, all are, with the reason."""
    finished = judge("", "--modelbench-suite=robustness", more=IMAGES)
    assert finished.result.ret == 0, finished.text
    assert finished.verdicts["conftest.py::mce:mce"] in {"reported", "not_applicable"}
    assert finished.verdicts["conftest.py::corruption_drop:corruption_drop"] == "reported"
    assert finished.verdicts["conftest.py::corruption_rmse_ratio:corruption_rmse_ratio"] == "not_applicable"


def test_a_student_that_cannot_answer(judge: Judge) -> None:
    """It raises for missing values, the teacher does not: these rows are wrong, told, and the gate fails (trap 25)."""
    fragile = """
        ROWS_OF = np.random.default_rng(0).normal(size=(200, 4)) + 3 * np.eye(4)[np.arange(200) % 4]
        def plain(batch): return np.nan_to_num(np.asarray(batch))
        def strict(batch):
            if np.isnan(np.asarray(batch)).any():
                raise ValueError("Input X contains NaN")
            return np.asarray(batch)
        TEACHER, STUDENT = teacher(outputs=plain), student(outputs=strict)
        @pytest.fixture(scope="session")
        def eval_data(): return EvalData(ROWS_OF, np.arange(200) % 4)
    """
    test = (
        "import pytest\n@pytest.mark.kpi('corruption_accuracy', 'drop <= 20 pp', corruptions='missing_cells', "
        "severities=[5])\ndef test_a(): ..."
    )
    finished = judge(test, more=__import__("textwrap").dedent(fragile))
    gate = finished.gate("corruption_accuracy")
    assert gate["verdict"] == "fail"
    (note,) = [note for note in gate["notes"] if "no answer" in note]
    assert note.startswith("the student gives no answer to 192 of 200 corrupted samples (missing_cells:5)")
    assert note.endswith("Input X contains NaN")
    assert gate["readings"]["teacher"]["value"] > 50
    both = finished = judge(test, more=__import__("textwrap").dedent(fragile) + "TEACHER = teacher(outputs=strict)\n")
    gate = both.gate("corruption_accuracy")
    assert gate["verdict"] == "pass"  # only rows that the teacher answers are judged (trap 36)
    assert any("not judged for either model" in note for note in gate["notes"])


STUDENT = "\nSTUDENT = student(outputs=lambda batch: np.eye(10)[np.arange(len(batch)) % 10])\n"
DATA = '\n@pytest.fixture(scope="session")\ndef eval_data(): return EvalData({}, TARGETS)\n'
PIXELS = "(np.arange(200 * 64).reshape(200, 1, 8, 8) % 256)"


@pytest.mark.parametrize(
    ("options", "data", "told"),
    [
        (
            "", f"({PIXELS} - 128) / 60",
            ("the inputs run from -2.133 to 2.117: which values can they have? Are they normalised? Write "
            "range=(lo, hi), the least and the greatest value that an input can have"),
        ),
        (
            ", range=(0, 1)", f"{PIXELS} * 1.0",
            "range=(0, 1), and the inputs run from 0 to 255. Write the range that the model's inputs have",
        ),
        (
            ", range=(0, 255)", f"{PIXELS} / 255",
            "range=(0, 255), and the inputs run from 0 to 1: less than 2% of it. Write the inputs' own range",
        ),
        (
            "", f"{PIXELS}[:, 0] / 255",
            ("inputs of shape (200, 8, 8) may be images, series or a table. Write corruptions='images', 'series' or "
            "'tabular'"),
        ),
        (
            ", corruptions='images'", "INPUTS",
            ("the corruptions are for images: (samples, height, width), with 1, 3 or 4 channels first or last; found "
            "inputs of shape (200, 1)"),
        ),
        (
            ", corruptions='shifted_time'", "INPUTS",
            "corruption 'shifted_time' needs a column of dates, and the inputs have none",
        ),
        (
            ", corruptions=lambda row, severity, rng: row.astype('float32')", "INPUTS",
            ("corruption <lambda>:1 makes float32 of shape (1,) from float64 of shape (1,) (sample 0). A corrupted "
            "sample keeps its shape and type: write .astype(image.dtype) at the end, or .to(image.dtype)"),
        ),
        (
            ", corruptions=lambda row, severity, rng: 1 / 0", "INPUTS",
            "corruption <lambda>:1 raised ZeroDivisionError: division by zero on sample 0",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_corrupted_is_told(judge: Judge, options: str, data: str, told: str) -> None:
    """One message each, the gate an error, no traceback."""
    finished = judge(
        f"import pytest\n@pytest.mark.kpi('corruption_accuracy', '>= 50%'{options})\ndef test_a(): ...",
        fakes=FAKES,
        more=STUDENT + DATA.format(data),
    )
    gate = finished.gate("corruption_accuracy")
    assert (gate["verdict"], gate["reason"]) == ("error", told)
    assert "Traceback" not in finished.text


def test_tokens_are_not_applicable(judge: Judge) -> None:
    """No corruption of token ids means something (trap 24): the item is skipped with the reason."""
    finished = judge(
        "import pytest\n@pytest.mark.kpi('corruption_accuracy', '>= 50%')\ndef test_a(): ...",
        more=STUDENT + DATA.format("np.ones((200, 16), dtype=np.int64)"),
    )
    gate = finished.gate("corruption_accuracy")
    assert gate["verdict"] == "not_applicable"
    assert "act before the tokenizer" in gate["reason"]


def test_regression(judge: Judge) -> None:
    """How many times more the student's error grows; the KPIs about labels say what to write instead."""
    numbers = """
TABLE = np.random.default_rng(0).normal(size=(200, 3))
TRUTH = TABLE.sum(axis=1)
NOISE = np.random.default_rng(1).normal(size=200) * 0.3
TEACHER = teacher(outputs=lambda batch: np.asarray(batch).sum(axis=1) + 0.2)
STUDENT = student(outputs=lambda batch: 3 * np.asarray(batch)[:, 0] * 0.9 + np.asarray(batch)[:, 1:].sum(axis=1) * 0.1)
@pytest.fixture(scope="session")
def eval_data(): return EvalData(TABLE, TRUTH, task="regression")
"""
    finished = judge(
        "import pytest\n@pytest.mark.kpi('corruption_rmse_ratio', '<= 9x', corruptions='column_noise')\ndef test_a(): ...\n"
        "@pytest.mark.kpi('corruption_accuracy', '>= 1%')\ndef test_b(): ...",
        more=numbers,
    )
    gate = finished.gate("corruption_rmse_ratio")
    assert gate["verdict"] == "pass"
    assert gate["readings"]["student"]["value"] < 0.9  # the teacher's small error grows most
    assert finished.gate("corruption_accuracy")["reason"].endswith(
        "Write corruption_rmse_ratio, or a KPI such as kpi('rmse', 'increase <= 10%', under='column_noise:3')"
    )


def test_fixture_gives_a_corrupted_batch(judge: Judge) -> None:
    """One item for each corruption of the marker, with its severity in the id; what does not fit is skipped."""
    finished = judge(
        """
        import numpy as np
        import pytest
        @pytest.mark.corruption("rain:5", "contrast", "saturate:1")
        def test_inputs(student, corruption):
            assert corruption.inputs.shape == corruption.plain.shape == (50, 1, 6, 6)
            assert not np.array_equal(corruption.inputs, corruption.plain)
            assert len(corruption.targets) == len(corruption.ids) == 50
            student.check_finite(corruption)
        @pytest.mark.corruption("images:2")
        def test_family(student, corruption):
            assert corruption.severity == 2
        """,
        more=IMAGES,
    )
    assert finished.result.ret == 0, finished.text
    outcomes = {test["nodeid"].partition("::")[2]: test["outcome"] for test in finished.report["tests"]}
    assert outcomes["test_inputs[rain:5]"] == outcomes["test_inputs[contrast:3]"] == "passed"
    assert outcomes["test_inputs[saturate:1]"] == "skipped"
    assert sum(name.startswith("test_family") for name in outcomes) == 19


def test_fixture_names_what_broke(judge: Judge) -> None:
    """A student that overflows under a corruption fails its check, with the corruption's name."""
    finished = judge(
        "import pytest\n@pytest.mark.corruption('rain:5')\ndef test_a(student, corruption): student.check_finite(corruption)",
        more=IMAGES + "STUDENT = student(outputs=lambda batch: np.where(by_rows(batch) > 5, np.inf, 0.0))\n",
    )
    assert finished.result.ret == 1
    assert "corruption 'rain:5' (custom, severity 5): " in finished.text


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        (
            "",
            "the fixture corruption needs the marker of that name. Write @pytest.mark.corruption('gaussian_noise:3'",
        ),
        ("@pytest.mark.corruption()", "the fixture corruption needs the marker of that name."),
        ("@pytest.mark.corruption('fogg:3')", "there is no corruption 'fogg'; did you mean 'fog'?"),
        ("@pytest.mark.corruption('fog:9')", "the marker corruption names 'fog:9': severities are from 1 to 5."),
        (
            "@pytest.mark.corruption(3)",
            "the marker corruption names 3. Write @pytest.mark.corruption('gaussian_noise",
        ),
        ("@pytest.mark.corruption('math:nothing:2')", "corruption 'math:nothing': math has no attribute 'nothing'"),
    ],
)
def test_a_wrong_marker_is_told(judge: Judge, marker: str, told: str) -> None:
    """At collection, with the place; nothing runs."""
    finished = judge(f"import pytest\n{marker}\ndef test_a(student, corruption): ...", more=IMAGES)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"test_sla.py::test_a: {told}" in str(finished.result.stderr)


def test_a_marker_without_its_fixture_is_told(judge: Judge) -> None:
    """It would do nothing."""
    finished = judge("import pytest\n@pytest.mark.corruption('fog:3')\ndef test_a(student): ...", more=IMAGES)
    assert "the marker corruption needs the fixture of that name" in str(finished.result.stderr)


def test_thresholds_from_a_report(judge: Judge, pytester: pytest.Pytester) -> None:
    """Options are written as the file takes them; a KPI under a corruption stays with its test."""
    judge(
        """
        import pytest
        @pytest.mark.kpi("corruption_accuracy", corruptions=["rain", "contrast"], severities=(2, 4))
        @pytest.mark.kpi("f1", under="rain:5")
        def test_all(): ...
        """,
        more=IMAGES,
    )
    assert main(["thresholds", "report.json", "--slack", "10%"]) == 0
    text = (pytester.path / "modelbench.toml").read_text()
    assert 'corruptions = ["rain", "contrast"]' in text
    assert "# f1 under rain:5: on corrupted inputs; its test states its limits" in text
    (pytester.path / "test_sla.py").unlink()
    finished = judge("", more=IMAGES)
    assert finished.verdicts == {"modelbench.toml::corruption_accuracy:corruption_accuracy": "pass"}, finished.text
