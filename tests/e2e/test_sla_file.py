"""modelbench.toml in real pytest runs: items, selection, models, settings, reports, with and without a conftest."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest
from suites import FAKES, Finished, read_report

FACTORIES = (
    FAKES.replace('@pytest.fixture(scope="session")\n', "")
    + """
CALLS = []
def small():
    CALLS.append("small")
    return student(parameters=5_000)
def wrong(): return student(outputs=answers(100))
"""
)
MODELS = """
[models]
teacher = "shop:teacher_model"
[models.students]
distilled = "shop:student_model"
small = "shop.py:small"
[data]
eval = "shop:eval_data"
"""
KPIS = """
[kpi]
parameters = "reduction >= 92%"
latency_p50 = ["<= 5 ms", "reduction >= 50%"]
top1_accuracy = "drop <= 2 pp"
"""


def run(pytester: pytest.Pytester, *arguments: str, process: bool = False) -> Finished:
    command = ("--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider", *arguments)
    result = pytester.runpytest_subprocess(*command) if process else pytester.runpytest_inprocess(*command)
    return Finished(result, read_report(pytester))


@pytest.fixture
def shop(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a folder that holds only a modelbench.toml and one Python file with factories."""
    pytester.makepyfile(shop=FACTORIES)
    pytester.path.joinpath("modelbench.toml").write_text(MODELS + KPIS)
    return pytester


def test_folder_with_a_file_and_factories_is_judged(shop: pytest.Pytester) -> None:
    """One item for each KPI and student; the verdict is the outcome; the report names the file as the source."""
    finished = run(shop)
    assert finished.result.ret == 1
    assert finished.verdicts == {
        "modelbench.toml::parameters[distilled]:parameters": "fail",
        "modelbench.toml::latency_p50[distilled]:latency_p50": "pass",
        "modelbench.toml::top1_accuracy[distilled]:top1_accuracy": "pass",
        "modelbench.toml::parameters[small]:parameters": "pass",
        "modelbench.toml::latency_p50[small]:latency_p50": "pass",
        "modelbench.toml::top1_accuracy[small]:top1_accuracy": "pass",
    }
    assert {limit["source"] for gate in finished.report["gates"] for limit in gate["limits"]} == {"modelbench.toml"}
    finished.result.stdout.fnmatch_lines(["parameters of distilled: FAIL: reduction >= 92% does not hold: 90%"])
    finished.result.stdout.fnmatch_lines(
        ["*rerun:   pytest --modelbench 'modelbench.toml::parameters[[]distilled[]]'"]
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-k", "parameters and small"], ["parameters[small]"]),
        (["-m", "kpi", "-k", "latency_p50"], ["latency_p50[distilled]", "latency_p50[small]"]),
        (["modelbench.toml::top1_accuracy[small]"], ["top1_accuracy[small]"]),
        (["modelbench.toml::top1_accuracy"], ["top1_accuracy[distilled]", "top1_accuracy[small]"]),
    ],
)
def test_items_are_selected_like_any_other(shop: pytest.Pytester, arguments: list[str], expected: list[str]) -> None:
    """By -k, -m and node id; only what is selected is judged."""
    finished = run(shop, *arguments)
    assert sorted(test["nodeid"] for test in finished.report["tests"]) == [f"modelbench.toml::{e}" for e in expected]
    assert len(finished.report["gates"]) == len(expected)


def test_last_failed_and_junit(shop: pytest.Pytester) -> None:
    """--lf runs what failed; JUnit has the items under the file's name, with the line where the KPI is written."""
    command = ("--modelbench", "--junitxml=junit.xml", "-o", "junit_family=xunit1")
    shop.runpytest_inprocess(*command)
    again = shop.runpytest_inprocess(*command, "--lf")
    again.assert_outcomes(failed=1)
    (case,) = ET.parse(shop.path / "junit.xml").getroot().iter("testcase")  # noqa: S314 - pytest wrote it
    assert (case.get("name"), case.get("file"), case.get("line")) == (
        "parameters[distilled]",
        "modelbench.toml",
        "10",
    )


def test_workers_agree_with_a_serial_run(shop: pytest.Pytester) -> None:
    """Under xdist the same items come to the same verdicts."""
    assert run(shop, "-n", "2", process=True).verdicts == run(shop).verdicts


def test_fixtures_of_a_conftest_are_judged_without_models(pytester: pytest.Pytester) -> None:
    """A file without [models] and [data] takes the fixtures, and shares their measurements with Python tests."""
    pytester.makeconftest(
        FAKES + '\n@pytest.fixture(autouse=True)\ndef seen(request): print("SEEN", request.node.name)\n'
    )
    pytester.path.joinpath("modelbench.toml").write_text('[kpi]\nlatency_p50 = "<= 5 ms"\nparameters = "<= 1M"\n')
    pytester.makepyfile('import pytest\n@pytest.mark.kpi("latency_p50", "<= 6 ms")\ndef test_p50(): ...')
    finished = run(pytester, "-rP")
    finished.result.assert_outcomes(passed=3)
    finished.result.stdout.fnmatch_lines(["SEEN parameters"])
    assert len(finished.report["timings"]) == 1


def test_models_of_a_file_beat_a_conftest_and_lose_to_the_command_line(shop: pytest.Pytester) -> None:
    """Command line > modelbench.toml > fixtures, for each role; other files keep their fixtures."""
    shop.makeconftest(FAKES.replace("STUDENT = teacher(), student()", "STUDENT = teacher(), student(parameters=1)"))
    shop.makepyfile('import pytest\n@pytest.mark.kpi("parameters", "== 1")\ndef test_own(): ...')
    finished = run(shop, "-k", "parameters or own")
    assert {gate["student"]: gate["readings"]["student"]["value"] for gate in finished.report["gates"]} == {
        "distilled": 10_000,
        "small": 5_000,
        "student": 1,
    }
    given = run(shop, "-k", "parameters", "--modelbench-student=other=shop:small")
    assert [gate["student"] for gate in given.report["gates"]] == ["other"]
    assert given.verdicts == {"modelbench.toml::parameters[other]:parameters": "pass"}


@pytest.mark.parametrize(
    ("arguments", "ini", "budget"),
    [((), "", 7), ((), "modelbench_budget = 9", 7), (("--modelbench-budget=5",), "", 5)],
    ids=["file", "file-beats-ini", "command-line-beats-file"],
)
def test_settings_of_a_file(shop: pytest.Pytester, arguments: tuple[str, ...], ini: str, budget: int) -> None:
    """[run] holds for the file's own items: command line > modelbench.toml > ini > default."""
    shop.path.joinpath("modelbench.toml").write_text(MODELS + "[run]\nbudget = 7\nseed = 3\n" + KPIS)
    shop.makeini(f"[pytest]\n{ini}\n")
    timings = run(shop, *arguments, "-k", "latency_p50 and distilled").report["timings"]
    assert [(timing["budget_s"], timing["seed"]) for timing in timings] == [(budget, 3)]


def test_inconclusive_may_be_let_pass_for_one_file(pytester: pytest.Pytester) -> None:
    """[run] inconclusive = "warn" concerns this file's items only."""
    pytester.makeconftest(FAKES)
    gate = '[kpi.top1_accuracy]\nlimits = "drop <= 1.1 pp"\nconfidence = 0.95\n'
    pytester.path.joinpath("lenient.modelbench.toml").write_text(f'[run]\ninconclusive = "warn"\n{gate}')
    pytester.path.joinpath("modelbench.toml").write_text(gate)
    finished = run(pytester, process=True)
    outcomes = {test["nodeid"]: test["outcome"] for test in finished.report["tests"]}
    assert outcomes == {
        "lenient.modelbench.toml::top1_accuracy": "passed",
        "modelbench.toml::top1_accuracy": "failed",
    }
    assert {gate["verdict"] for gate in finished.report["gates"]} == {"inconclusive"}


def test_not_enabled_items_are_skipped_under_the_same_names(shop: pytest.Pytester) -> None:
    """Without --modelbench nothing is built; node ids are what they are with it."""
    listed = [shop.runpytest_inprocess("--collect-only", "-q", *flag).outlines for flag in ([], ["--modelbench"])]
    ids = [[line for line in lines if "::" in line] for lines in listed]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 6
    result = shop.runpytest_inprocess()
    result.assert_outcomes(skipped=6)
    result.stdout.fnmatch_lines(["modelbench: 6 gates not judged; run pytest with --modelbench"])


def test_mistakes_of_two_files_and_a_marker_are_told_together(pytester: pytest.Pytester) -> None:
    """Each with its file and line; exit code 4; nothing is judged."""
    pytester.makeconftest(FAKES)
    pytester.path.joinpath("modelbench.toml").write_text(
        '[kpi]\nlatency_p98 = "<= 1 ms"\n\ntop1_accuracy = "drop <= 2"\n[runn]\n'
    )
    pytester.makepyfile(test_a='import pytest\n@pytest.mark.kpi("f1", ">= 9 s")\ndef test_f1(): ...')
    for arguments in ((), ("-n", "2"), ("--collect-only",)):
        finished = run(pytester, *arguments, process=True)
        assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
        for words in (
            "modelbench.toml:2: unknown KPI 'latency_p98'; nearest: latency_p99",
            "modelbench.toml:4: kpi 'top1_accuracy': 'drop <= 2': say whether the drop is in points or relative",
            "modelbench.toml:5: unknown table 'runn'; did you mean 'run'?",
            "test_a.py::test_f1: kpi 'f1': '>= 9 s'",
        ):
            assert finished.text.count(words) == 1, (arguments, words)
        assert "Traceback" not in finished.text
        assert "INTERNALERROR" not in finished.text


def test_file_that_is_not_toml_is_no_silent_pass_without_the_flag(shop: pytest.Pytester) -> None:
    """Its items cannot even be named, so the run fails; a mistake in an item's limits waits for --modelbench."""
    shop.path.joinpath("modelbench.toml").write_text("[kpi\n")
    result = shop.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: modelbench.toml:1: this is not valid TOML: *"])
    shop.path.joinpath("modelbench.toml").write_text('[kpi]\nf1 = "nonsense"\n')
    shop.runpytest_inprocess().assert_outcomes(skipped=1)


def test_file_with_a_byte_order_mark(shop: pytest.Pytester) -> None:
    """Editors of Windows write one."""
    file = shop.path / "modelbench.toml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert shop.runpytest_inprocess("--modelbench", "--collect-only", "-q").ret == 0


def test_relative_paths_start_at_the_file(shop: pytest.Pytester) -> None:
    """Wherever pytest is started, and also where a test folder is a package."""
    folder = shop.mkpydir("inner")
    for name in ("shop.py", "modelbench.toml"):
        shop.path.joinpath(name).rename(folder / name)
    finished = run(shop, "inner", "-k", "parameters")
    assert set(finished.verdicts) == {
        f"inner/modelbench.toml::parameters[{s}]:parameters" for s in ("distilled", "small")
    }


def test_factory_is_called_once_for_all_items(shop: pytest.Pytester) -> None:
    """Three KPIs of one student build it once."""
    shop.makeconftest("import shop\ndef pytest_unconfigure(): print('built', shop.CALLS)\n")
    assert "built ['small']" in run(shop, "-k", "small").text


def test_own_metric_by_name(shop: pytest.Pytester) -> None:
    """A scorer of scikit-learn, and a function of the suite's."""
    shop.makepyfile(mine="def right(targets, predictions): return float((targets == predictions).mean())")
    shop.path.joinpath("modelbench.toml").write_text(
        MODELS + '[kpi]\nscored = {metric = "f1_macro", limits = ">= 0.9"}\n'
        'mine = {metric = "mine:right", better = "higher", limits = [">= 0.9", "drop <= 3%"]}\n'
    )
    finished = run(shop)
    assert finished.result.ret == 0
    values = {gate["kpi"]: gate["readings"]["student"]["value"] for gate in finished.report["gates"]}
    assert values["mine"] == pytest.approx(0.98)
    assert values["scored"] == pytest.approx(0.98, abs=0.01)


def test_factory_that_raises_harms_no_other_student(shop: pytest.Pytester) -> None:
    """Every gate of that student says so; the others are judged."""
    shop.makepyfile(broken="def load(): raise OSError('no weights')")
    models = MODELS.replace("small = ", 'broken = "broken:load"\nsmall = ')
    shop.path.joinpath("modelbench.toml").write_text(models + KPIS)
    gates = run(shop).report["gates"]
    reasons = {gate["reason"] for gate in gates if gate["student"] == "broken"}
    assert reasons == {"the factory 'broken:load' raised OSError: no weights"}
    assert {gate["verdict"] for gate in gates if gate["student"] != "broken"} == {"pass", "fail"}


def test_modules_of_one_name_in_two_folders_are_told_apart(pytester: pytest.Pytester) -> None:
    """A module that another folder's file has imported is never taken for one's own."""
    for folder, parameters in (("a", 5_000_000), ("b", 500)):
        pytester.mkdir(folder)
        pytester.path.joinpath(folder, "nets.py").write_text(
            f"from pytest_modelbench import FakeModel\ndef load(): return FakeModel(parameters={parameters})\n"
        )
        pytester.path.joinpath(folder, "modelbench.toml").write_text(
            '[models]\nstudent = "nets:load"\n[kpi]\nparameters = "<= 1k"\n'
        )
    finished = run(pytester, process=True)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "b/modelbench.toml:2: 'nets:load': the module nets was imported from" in finished.text
    for folder in ("a", "b"):
        path = pytester.path.joinpath(folder, "modelbench.toml")
        path.write_text(path.read_text().replace("nets:load", "nets.py:load"))
    assert [gate["verdict"] for gate in run(pytester, process=True).report["gates"]] == ["fail", "pass"]


def test_threads_of_one_file_are_not_those_of_the_next(pytester: pytest.Pytester) -> None:
    """A file that states none gets torch's own number, whatever ran before it."""
    pytester.makepyfile(
        shop="import torch, numpy as np\nfrom pytest_modelbench import FakeModel\n"
        "def outputs(batch): print('THREADS', len(batch), torch.get_num_threads()); return batch\n"
        "def load(): return FakeModel(outputs)\n"
        "def data_a(): return np.ones((4, 1)), np.ones(4)\ndef data_b(): return np.ones((5, 1)), np.ones(5)\n"
    )
    for name, threads in (("a", "threads = 1"), ("b", "")):
        pytester.path.joinpath(f"{name}.modelbench.toml").write_text(
            f'[models]\nstudent = "shop:load"\n[data]\neval = "shop:data_{name}"\n[run]\n{threads}\n'
            '[kpi]\nnonfinite_outputs = "== 0"\n'
        )
    pytester.makeconftest("import torch\ntorch.set_num_threads(2)\n")
    printed = run(pytester, "-s", process=True).text
    assert "THREADS 4 1" in printed
    assert "THREADS 5 2" in printed


def test_students_of_one_content_keep_their_own_files(shop: pytest.Pytester) -> None:
    """The size on disk is that of each student's file, though their weights are the same."""
    shop.makepyfile(
        nets="import torch\nfrom torch import nn\nfrom safetensors.torch import save_file\n"
        "def make(): torch.manual_seed(0); return nn.Linear(4, 2)\n"
        "save_file(make().state_dict(), 'small.safetensors')\ntorch.save(make().state_dict(), 'large.pt')\n"
    )
    shop.run(sys.executable, "nets.py")
    shop.path.joinpath("modelbench.toml").write_text(
        '[models.students]\nsmall = "nets:make@small.safetensors"\nlarge = "nets:make@large.pt"\n'
        '[kpi]\nsize_on_disk = "<= 1 kB"\n'
    )
    verdicts = {gate["student"]: gate["verdict"] for gate in run(shop, process=True).report["gates"]}
    assert verdicts == {"small": "pass", "large": "fail"}


def test_groups_of_numbers_and_missing_values(pytester: pytest.Pytester) -> None:
    """[data] says how features become groups, a gate goes before it, and the reading counts who is left out."""
    pytester.makepyfile(
        shop="""
        import numpy as np
        import pandas as pd

        def people():
            at = np.arange(400)
            age = np.where(at % 10 == 0, np.nan, 20.0 + at % 57)
            return pd.DataFrame({"age": age, "y": at % 2})

        def student():
            return lambda frame: (np.nan_to_num(frame["age"].to_numpy()) % 37 > 12).astype(int)
        """
    )
    pytester.path.joinpath("modelbench.toml").write_text(
        """
[models]
student = "shop:student"
[data]
eval = "shop:people"
target = "y"
task = "binary"
outputs = "labels"
sensitive = ["age"]
missing = "exclude"
bins = [30.5, 50]
[kpi.demographic_parity_difference]
limits = "<= 99 pp"
[kpi.by_quarter]
kpi = "demographic_parity_difference"
bins = {age = 4}
missing = "group"
"""
    )
    finished = run(pytester)
    edges, quarters = finished.report["gates"]
    assert [row["name"] for row in edges["breakdown"]] == ["< 30.5", "30.5 to < 50", ">= 50"]
    assert "40 samples without age are excluded" in edges["readings"]["student"]["method"]
    assert edges["readings"]["student"]["n"] == 360
    assert len(quarters["breakdown"]) == 5
    assert quarters["breakdown"][-1]["name"] == "missing"
    finished.result.assert_outcomes(passed=2)
