"""Tasks beyond one label in real pytest runs: files, contracts, workers' forms, deployed files, and KPIs of other tasks."""

from __future__ import annotations

from typing import Any

import pytest
from suites import FAKES, Finished, Judge, read_report

from pytest_modelbench.bench.shelf import Job, Shelf
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Kpi

NETS = """
import torch

def net(width, seed):
    torch.manual_seed(seed)
    first, last = torch.nn.Conv2d(1, width, 3, padding=1), torch.nn.Conv2d(width, 2, 1)
    return torch.nn.Sequential(first, torch.nn.ReLU(), last).eval()

def teacher(): return net(8, 0)
def student(): return net(4, 1)

def data():
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return images, (images[:, 0] > 0.5).long()
"""
MODELS = """
[models]
teacher = "nets:teacher"
[models.students.small]
model = "nets:student"
[data]
eval = "nets:data"
task = "segmentation"
ignore_index = 255
"""
DOES_NOT_FIT = "it is for one label or number for each sample, and the task is segmentation. Write mean_iou, dice or pixel_accuracy"
APART = {"export", "parity", "compiled", "profile", "flops", "launch", "capacity", "production", "benchmark"}
NEEDS = {
    **dict.fromkeys(("fgsm_accuracy", "pgd_accuracy", "robust_accuracy"), "eps = '8/255'"),
    "adversarial_transfer_accuracy": "eps = '8/255'",
    **dict.fromkeys(("invariance", "directional"), "transform = 'numpy:negative'"),
    "carbon": "",
}


def run(pytester: pytest.Pytester, toml: str, *arguments: str) -> Finished:
    pytester.makepyfile(nets=NETS)
    pytester.path.joinpath("modelbench.toml").write_text(toml)
    command = ("--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider", *arguments)
    return Finished(pytester.runpytest_inprocess(*command), read_report(pytester))


def asked(kpi: Kpi) -> bool:
    """Whether a KPI is asked for here: what is timed, or needs processes, does not depend on the task."""
    return not (kpi.timed or kpi.probe.exclusive or kpi.probe.name in APART)


def table(kpi: Kpi) -> str:
    feature = "feature = 'each'" if "feature" in kpi.options else ""
    return f"[kpi.{kpi.name}]\nlimits = []\n{NEEDS.get(kpi.name, feature)}\n"


def test_every_kpi_is_judged_or_says_what_it_is_for(pytester: pytest.Pytester) -> None:
    """KPIs of labels, texts and other tasks give one message each; no traceback."""
    kpis = [kpi for kpi in CATALOGUE.values() if asked(kpi)]
    finished = run(pytester, MODELS + "".join(map(table, kpis)))
    reasons = {gate["kpi"]: gate["reason"] for gate in finished.report["gates"]}
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert len(reasons) == len(kpis) > 100
    wrong = {kpi.name for kpi in kpis if not kpi.reads("segmentation")}
    assert {name for name, reason in reasons.items() if reason == DOES_NOT_FIT} == wrong
    judged = {"mean_iou", "dice", "pixel_accuracy", "boundary_f", "mask_agreement", "nonfinite_outputs", "parameters"}
    assert {verdicts[name] for name in judged} == {"reported"}
    assert reasons["map"] == (
        "map is for detection. Write EvalData(..., task='detection'); the task of these data is segmentation"
    )
    assert set(verdicts.values()) == {"reported", "error"}
    assert "Traceback" not in finished.text
    assert "Error:" not in " ".join(reasons.values())


def test_net_of_a_file_is_judged_as_the_file_that_is_deployed(pytester: pytest.Pytester) -> None:
    """A whole suite without Python: the task in [data], and the student by onnxruntime."""
    kpis = '[kpi]\npixel_accuracy = "drop <= 50 pp"\nnonfinite_outputs = "== 0"\n'
    toml = MODELS.replace('"nets:student"', '"nets:student"\ndeploy = ["onnx"]') + kpis
    finished = run(pytester, toml, "--modelbench-markdown=report.md", "--modelbench-html=report.html")
    gates = {(gate["student"], gate["kpi"]): gate for gate in finished.report["gates"]}
    assert {gate["verdict"] for gate in gates.values()} == {"pass"}, finished.text
    plain, deployed = (gates[name, "pixel_accuracy"]["readings"] for name in ("small", "small@onnx"))
    assert deployed["student"]["value"] == pytest.approx(plain["student"]["value"])
    assert deployed["teacher"]["value"] == plain["teacher"]["value"]
    assert "| pixel_accuracy |" in (pytester.path / "report.md").read_text()
    assert "pixel_accuracy" in (pytester.path / "report.html").read_text()


MASKS = """
IMAGES = np.random.default_rng(0).random((20, 1, 6, 6))

def scores(shift):
    return lambda images: np.concatenate([1 - images, np.asarray(images) + shift], axis=1)

def share(targets, answers):
    return float(np.mean([(t == a).mean() for t, a in zip(targets, answers)]))

@pytest.fixture(scope="session")
def student_model(): return FakeModel(scores(0.2), cost_ns=1e5, clock=CLOCK)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(IMAGES, (IMAGES[:, 0] > 0.5).astype(int), task="segmentation", ids=[("image", i) for i in range(20)])
"""
OWN_TEACHER = """
@pytest.fixture(scope="session")
def teacher_model(): return FakeModel(scores(0.1), cost_ns=2e5, clock=CLOCK)
"""
NO_TEACHER = """
@pytest.fixture(scope="session")
def teacher_model(): raise LookupError("the teacher is elsewhere")
"""
GATES = """
from conftest import share
import pytest

@pytest.mark.kpi("pixel_accuracy", ">= 50%", "drop <= 50 pp")
@pytest.mark.kpi("mask_agreement", ">= 50%")
@pytest.mark.kpi("nonfinite_outputs", "difference <= 0")
@pytest.mark.kpi("share", "drop <= 50%", metric=share, better="higher")
def test_masks(): ...
"""


def test_contract_has_the_answers_of_the_teacher(judge: Judge) -> None:
    """Recorded once for all gates, and read in the teacher's place with the same values, custom metrics included."""
    with_teacher = judge(GATES, fakes=FAKES, more=MASKS + OWN_TEACHER)
    recorded = judge(GATES, "--modelbench-record-contract=t.mbc", fakes=FAKES, more=MASKS + OWN_TEACHER)
    recorded.result.stdout.re_match_lines([r"contract: t.mbc \(3 readings, 0 samples, task answers of .*B\)"])
    alone = judge(GATES, "--modelbench-contract=t.mbc", fakes=FAKES, more=MASKS + NO_TEACHER)
    assert {gate["verdict"] for gate in alone.report["gates"]} == {"pass"}, alone.text
    for kpi in ("pixel_accuracy", "mask_agreement", "nonfinite_outputs", "share"):
        assert alone.gate(kpi)["limits"] == with_teacher.gate(kpi)["limits"]
        assert alone.gate(kpi)["worst_samples"] == with_teacher.gate(kpi)["worst_samples"]


UNDER = GATES.replace(
    "def test_masks",
    """def test_masks(): ...

@pytest.mark.kpi("noisy", ">= 0", metric=share, better="higher", under="gaussian_noise:5")
def test_noisy""",
)


def test_workers_do_not_share_a_pass_over_corrupted_data(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tells passes apart between the processes of a run has the corruption; the values differ."""
    runs: list[Any] = []
    taken = Shelf.take

    def noted(shelf: Shelf, job: Job[Any]) -> Any:
        runs.append((job.kind, job.run))
        return taken(shelf, job)

    monkeypatch.setattr(Shelf, "take", noted)
    finished = judge(UNDER, fakes=FAKES, more=MASKS + OWN_TEACHER)
    passes = {run for kind, run in runs if kind == "kind"}
    assert len({run[1:2] for run in passes}) == 2
    assert len(passes) == 3
    values = {gate["kpi"].split()[0]: gate["readings"]["student"]["value"] for gate in finished.report["gates"]}
    assert values["share"] != values["noisy"]


RAGGED = """
IMAGES = [np.full((1, 4 + at % 3, 5), at / 12) for at in range(12)]

def scores(images): return [np.concatenate([1 - image, image]) for image in images]

@pytest.fixture(scope="session")
def student_model(): return FakeModel(scores, cost_ns=1e5, clock=CLOCK)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(IMAGES, [(image[0] > 0.5).astype(int) for image in IMAGES], task="segmentation")
"""


def test_lists_of_images_are_timed_in_batches(judge: Judge) -> None:
    """Images of different sizes reach the model as lists of one and of four."""
    tests = """
        import pytest

        @pytest.mark.kpi("latency_p50", "<= 1 s")
        @pytest.mark.kpi("mean_iou", ">= 99%")
        def test_one(): ...

        @pytest.mark.kpi("latency_p50", "<= 1 s", batch_size=4)
        def test_four(): ...
        """
    finished = judge(tests, fakes=FAKES, more=RAGGED)
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["pass"] * 3, finished.text


def test_corruption_of_a_task_kpi_is_a_mistake(judge: Judge) -> None:
    """The message says which KPIs take one."""
    marker = '@pytest.mark.kpi("pixel_accuracy", ">= 1%", under="gaussian_noise:3")\ndef test_gate(): ...\n'
    finished = judge(f"import pytest\n\n{marker}", fakes=FAKES, more=RAGGED)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "test_sla.py::test_gate: kpi 'pixel_accuracy': unknown option under=; corruptions are for KPIs of labels and "
        "numbers, and for custom metrics. Write metric=..., better=..." in finished.text
    )
