"""What others bring: a package by its entry point, a conftest.py, and every way in which they go wrong."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from suites import FAKES, Judge, read_report

from pytest_modelbench.data.corruptions.names import EXTENSIONS as ADDED_CORRUPTIONS
from pytest_modelbench.gates.extensions import Extensions
from pytest_modelbench.kpis.catalogue import CATALOGUE

INSTALLED = Path(sys.prefix, "extension")
"""Where `make test` installs tests/extensions: on no path, so that only these tests load it."""
SUITE = """
import pytest

@pytest.mark.kpi("distinct_labels", ">= 10", "difference >= 0")
def test_labels(): ...

@pytest.mark.kpi("largest_output", "<= 5")
def test_largest(): ...

def test_case(student, edge_case):
    student.check_finite(edge_case)
"""
MODELS = FAKES.replace(
    "    return STUDENT\n", "    from acme_modelbench.engine import Engine\n    return Engine(wrong=4)\n"
)


def install(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, entry: str = "acme_modelbench.hooks") -> None:
    """Put a copy of the installed extension onto the path of this process and of fresh ones.

    Args:
        pytester: in whose folder the copy lies.
        monkeypatch: puts it onto the path.
        entry: the module that its entry point names instead of its own.
    """
    if not INSTALLED.is_dir():
        pytest.skip("tests/extensions is not installed: run `make test`")
    site = pytester.path / "site"
    if not site.exists():
        shutil.copytree(INSTALLED, site)
    (entry_points,) = site.glob("acme_modelbench-*.dist-info/entry_points.txt")
    entry_points.write_text(entry_points.read_text().replace("acme_modelbench.hooks", entry))
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))


def run(pytester: pytest.Pytester, suite: str = SUITE, *options: str, conftest: str = MODELS) -> pytest.RunResult:
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_sla=textwrap.dedent(suite))
    return pytester.runpytest_subprocess("-p", "no:randomly", "--modelbench-json=report.json", *options)


def test_a_package_adds_one_of_everything(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its KPIs, kind, adapter, edge case, report, verdict hook and line of the summary are in a real run."""
    install(pytester, monkeypatch)
    finished = run(pytester, SUITE, "--modelbench", "-k", "labels or largest or inverted")
    assert finished.ret == 0, str(finished.stdout)
    report = read_report(pytester)
    gates = {gate["kpi"]: gate for gate in report["gates"]}
    assert {name: gate["verdict"] for name, gate in gates.items()} == {
        "distinct_labels": "pass",
        "largest_output": "pass",
    }
    assert gates["largest_output"]["readings"]["student"]["value"] == 5.0
    assert gates["distinct_labels"]["readings"]["teacher"]["value"] == 10.0
    assert report["models"]["students"]["student"]["kind"] == "acme"
    assert [test["edge_case"] for test in report["tests"] if "edge_case" in test] == ["inverted"]
    finished.stdout.fnmatch_lines(["*distinct_labels*", "acme: 2 gates were reported"])
    assert pytester.path.joinpath("acme.txt").read_text().splitlines()[0] == "exit 0"
    assert pytester.path.joinpath("verdicts.txt").read_text().split() == [
        "distinct_labels",
        "pass",
        "largest_output",
        "pass",
    ]


def test_its_kpis_are_in_the_list_in_toml_and_in_suites(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--modelbench-kpis`, a modelbench.toml and `--modelbench-suite` know what a package brings; files load too.

    A corruption of the package is named beside a built-in one and a function of a module.
    """
    install(pytester, monkeypatch)
    assert "distinct_labels" in pytester.runpytest_subprocess("--modelbench-kpis").stdout.str()
    pytester.makefile(
        ".toml",
        modelbench="""
        [kpi]
        distinct_labels = ">= 10"
        [kpi.corruption_accuracy]
        limits = ">= 1%"
        corruptions = ["column_noise", "drifted", "shop_noise:rain"]
        severities = [5]
        """,
    )
    pytester.makepyfile(shop_noise="def rain(row, severity, rng): return row + severity\n")
    pytester.path.joinpath("small.acme").write_text('{"wrong": 4}')
    finished = run(pytester, "", "--modelbench", "--modelbench-student=small.acme", "--modelbench-suite=acme")
    assert finished.ret == 0, str(finished.stdout)
    gates = {gate["kpi"]: gate for gate in read_report(pytester)["gates"]}
    rows = {row["name"]: row["value"] for row in gates.pop("corruption_accuracy")["breakdown"]}
    assert rows.keys() == {"column_noise:5", "drifted:5", "shop_noise:rain:5"}
    assert 5 < rows["drifted:5"] < 30  # moved by 0 to 5
    assert rows["shop_noise:rain:5"] == 0
    verdicts = {name: gate["verdict"] for name, gate in gates.items()}
    assert verdicts == {"distinct_labels": "pass", "largest_output": "reported", "top1_accuracy": "reported"}


def test_its_tracker_takes_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--modelbench-log` and `report --log` know the name, and send by the module of the package."""
    install(pytester, monkeypatch)
    finished = run(pytester, SUITE, "--modelbench", "-k", "labels", "--modelbench-log=acme")
    finished.stdout.fnmatch_lines(["Acme: 1 run in runs.txt"])
    again = pytester.run(
        sys.executable, "-m", "pytest_modelbench", "report", "report.json", "--log", "acme:again.txt"
    )
    assert (finished.ret, again.ret) == (0, 0)
    line = pytester.path.joinpath("runs.txt").read_text()
    assert line == pytester.path.joinpath("again.txt").read_text()
    assert line.startswith("student pass distinct_labels=10 ")


def test_reports_are_compared_without_the_package(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """`compare` reads the KPI of a package that is not installed any more."""
    install(pytester, monkeypatch)
    run(pytester, SUITE, "--modelbench", "-k", "labels")
    shutil.rmtree(pytester.path / "site")
    finished = pytester.run(sys.executable, "-m", "pytest_modelbench", "compare", "report.json", "report.json")
    assert finished.ret == 0
    finished.stdout.fnmatch_lines(["*distinct_labels*same*"])


def test_parallel_workers_know_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker loads the package by its entry point; the report is handed over once."""
    install(pytester, monkeypatch)
    finished = run(pytester, SUITE, "--modelbench", "-n2", "-k", "labels or largest")
    assert finished.ret == 0, str(finished.stdout)
    assert len(read_report(pytester)["gates"]) == 2
    assert finished.stdout.str().count("acme: 2 gates were reported") == 1


def test_a_worker_without_it_fails_the_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that only the controller has is named with the worker: its KPIs would be judged by nobody."""
    install(pytester, monkeypatch)
    pytester.makeconftest(FAKES)
    pytester.makepyfile(
        lacking="""
        import os, sys
        if "PYTEST_XDIST_WORKER" in os.environ:
            sys.path[:] = [path for path in sys.path if not path.endswith("/site")]
        """,
        test_sla='import pytest\n@pytest.mark.kpi("parameters", "<= 1 M")\ndef test_size(): ...\n',
    )
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # these tests may themselves run in a worker
    result = pytester.runpytest_subprocess("--modelbench", "-n", "1", "-p", "lacking")
    result.stdout.fnmatch_lines(
        ["*ERROR: acme-modelbench (entry point *) is installed where pytest was started, and not in the worker gw0.*"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_no_session_without_gates_loads_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point that cannot be imported harms no run without `--modelbench`, and is a mistake of one with it."""
    install(pytester, monkeypatch, "acme_modelbench.nowhere")
    pytester.makepyfile("def test_one(): ...\n")
    assert pytester.runpytest_subprocess().ret == 0
    finished = pytester.runpytest_subprocess("--modelbench")
    assert finished.ret == pytest.ExitCode.USAGE_ERROR
    told = (
        "ERROR: acme-modelbench (entry point acme) cannot be loaded: ModuleNotFoundError: No module named "
        "'acme_modelbench.nowhere'. Mend it, or uninstall it"
    )
    assert told in finished.stderr.lines


NAN = (
    "import pytest_modelbench.extend as e\n    "
    "yield e.Evidence(student=e.Reading(estimate=e.Estimate.exact(float('nan')), unit=''))"
)
OWN = """
from pytest_modelbench.extend import PREDICTIONS, Kpi

def row(**changes):
    fields = dict(name="odd", pillar="quality", unit="", better="lower", definition="d", method="m", source="s",
                  probe=PREDICTIONS, derive="derive_odd:odd")
    return Kpi(**{**fields, **changes})

def pytest_modelbench_kpis():
    return ROWS
"""


def test_a_kpi_in_a_conftest(judge: Judge, pytester: pytest.Pytester) -> None:
    """A conftest.py brings a KPI as a package does, and leaves nothing to the next session of the process."""
    pytester.makepyfile(
        derive_odd="""
        from pytest_modelbench.extend import Estimate, Evidence, Reading

        def odd(question, measurements):
            labels = measurements.predictions("student").labels
            yield Evidence(student=Reading(estimate=Estimate.exact(float((labels % 2).sum())), unit=""))
        """
    )
    pytester.syspathinsert()
    suite = "import pytest\n@pytest.mark.kpi('odd', '<= 150')\ndef test_odd(): ...\n"
    finished = judge(suite, more=OWN.replace("ROWS", "[row()]"))
    assert finished.gate("odd")["verdict"] == "pass"
    assert "odd" not in CATALOGUE


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("[row(name='f1')]", "the name 'f1' is taken by another KPI. Give it another name"),
        ("[row(), row()]", "the name 'odd' is taken by another KPI. Give it another name; conftest.py brings it"),
        (
            "[row(pillar='speed')]",
            "kpi 'odd': pillar='speed', expected one of quality, efficiency, footprint, reliability",
        ),
        ("[row(better='more')]", "kpi 'odd': better='more', expected 'higher' or 'lower'"),
        ("[row(unit=None)]", "kpi 'odd': unit=None, expected a string"),
        ("[row(probe='predictions')]", "kpi 'odd': probe='predictions', expected a ProbeKind such as PREDICTIONS"),
        ("[row(derive='odd')]", "kpi 'odd': derive='odd', expected 'module:name'"),
        ("['f1']", "pytest_modelbench_kpis: returned 'f1', expected rows of the class pytest_modelbench.extend.Kpi"),
        ("None", "pytest_modelbench_kpis: returned None, expected rows of the class Kpi"),
        (
            "1 / 0",
            "pytest_modelbench_kpis raised ZeroDivisionError: division by zero. Correct it there, or remove it",
        ),
    ],
)
def test_bad_rows_are_mistakes(judge: Judge, rows: str, told: str) -> None:
    """Each is told with the file that brings it, before anything is measured."""
    finished = judge(
        "import pytest\n@pytest.mark.kpi('parameters')\ndef test_size(): ...\n", more=OWN.replace("ROWS", rows)
    )
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: conftest.py: {told}" in finished.text
    assert "Traceback" not in finished.text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("yield 3", "derive_odd:odd of the KPI odd yielded 3, expected Evidence"),
        ("raise ValueError('no labels')", "ValueError: no labels"),
        (
            NAN,
            "the value is not a number",
        ),
        ("return 5", "derive_odd:odd of the KPI odd returned 5, expected it to yield Evidence"),
    ],
)
def test_bad_derivations_are_errors_of_their_gate(
    judge: Judge, pytester: pytest.Pytester, body: str, told: str
) -> None:
    """The gate has the verdict ERROR and says why; others are judged."""
    pytester.path.joinpath("derive_odd.py").write_text(f"def odd(question, measurements):\n    {body}\n")
    pytester.syspathinsert()
    suite = """
    import pytest

    @pytest.mark.kpi("odd", "<= 150")
    @pytest.mark.kpi("top1_accuracy", ">= 90%")
    def test_both(): ...
    """
    finished = judge(textwrap.dedent(suite), more=OWN.replace("ROWS", "[row()]"))
    assert (finished.gate("odd")["verdict"], finished.gate("top1_accuracy")["verdict"]) == ("error", "pass")
    assert told in finished.gate("odd")["reason"]
    assert "INTERNALERROR" not in finished.text


@pytest.mark.parametrize("hook", ["verdict", "report", "summary"])
def test_a_hook_that_raises_fails_the_session_and_loses_nothing(judge: Judge, hook: str) -> None:
    """The report is written, a red line names who raised, and the run is not green."""
    more = f"def pytest_modelbench_{hook}():\n    raise OSError('disk full')\n"
    finished = judge("import pytest\n@pytest.mark.kpi('parameters', '<= 1M')\ndef test_size(): ...\n", more=more)
    assert finished.result.ret == pytest.ExitCode.TESTS_FAILED
    assert f"ERROR: conftest.py: pytest_modelbench_{hook} raised OSError: disk full" in finished.text
    assert finished.gate("parameters")["verdict"] == "pass"
    assert finished.report["exit_status"] == 1


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ({"fog": len}, "there is a corruption 'fog' already. Give it another name"),
        ({"images": len}, "there is a corruption 'images' already. Give it another name"),
        ({"rain": 3}, "corruption 'rain' is 3, expected a function of a sample"),
        ({"rain:3": len}, "corruption 'rain:3': a name has no colon, after which a severity is written"),
        ([len], "pytest_modelbench_corruptions: returned [<built-in function len>], expected functions by name"),
    ],
)
def test_bad_corruptions_are_mistakes(returned: object, told: str) -> None:
    """Each is told with who brings it; the table of corruptions stays as it was."""
    extensions = Extensions()
    extensions.take("pytest_modelbench_corruptions", lambda: returned, "acme")
    assert extensions.mistakes == [f"acme: {told}"]
    assert not ADDED_CORRUPTIONS


def test_a_summary_that_is_no_list_fails_the_session(judge: Judge) -> None:
    """The report is written, and the line says what was returned."""
    suite = "import pytest\n@pytest.mark.kpi('parameters', '<= 1M')\ndef test_size(): ...\n"
    finished = judge(suite, more="def pytest_modelbench_summary():\n    return 5\n")
    assert finished.result.ret == pytest.ExitCode.TESTS_FAILED
    assert "pytest_modelbench_summary returned 5, expected a list of lines" in finished.text
    assert finished.gate("parameters")["verdict"] == "pass"


def test_a_misspelt_argument_is_a_mistake(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pytest refuses when it registers a package's module is told like all else, with the package."""
    install(pytester, monkeypatch, "acme_odd")
    pytester.path.joinpath("site", "acme_odd.py").write_text("def pytest_modelbench_summary(repport): ...\n")
    finished = run(pytester, "def test_one(): ...\n", "--modelbench", conftest="")
    assert finished.ret == pytest.ExitCode.USAGE_ERROR
    assert "acme-modelbench (entry point acme) cannot be loaded: PluginValidationError" in finished.stderr.str()


def test_a_hook_that_raises_in_a_worker_fails_the_run(pytester: pytest.Pytester) -> None:
    """The controller tells what failed in its workers, once."""
    more = "\ndef pytest_modelbench_verdict():\n    raise SystemExit(0)\n"
    suite = "import pytest\n@pytest.mark.kpi('parameters', '<= 1M')\ndef test_size(): ...\n"
    finished = run(pytester, suite, "--modelbench", "-n2", conftest=FAKES + more)
    assert finished.ret == pytest.ExitCode.TESTS_FAILED
    assert finished.stdout.str().count("ERROR: conftest.py: pytest_modelbench_verdict raised SystemExit") == 1
    assert read_report(pytester)["exit_status"] == 1


def test_hooks_get_a_report_of_their_own(judge: Judge) -> None:
    """What they change in it is not in the file."""
    more = "def pytest_modelbench_report(report):\n    report['gates'].clear()\n"
    finished = judge("import pytest\n@pytest.mark.kpi('parameters', '<= 1M')\ndef test_size(): ...\n", more=more)
    assert finished.gate("parameters")["verdict"] == "pass"


def test_a_module_that_exits_is_a_mistake(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also `sys.exit` at import is told with the package."""
    install(pytester, monkeypatch, "acme_gone")
    pytester.path.joinpath("site", "acme_gone.py").write_text("raise SystemExit(0)\n")
    finished = run(pytester, "def test_one(): ...\n", "--modelbench", conftest="")
    assert finished.ret == pytest.ExitCode.USAGE_ERROR
    assert "acme-modelbench (entry point acme) cannot be loaded: SystemExit" in finished.stderr.str()


def test_thresholds_knows_the_kpis_of_a_package(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report with its gates becomes a file that a session with the package can judge."""
    install(pytester, monkeypatch)
    run(pytester, SUITE, "--modelbench", "-k", "labels or largest")
    finished = pytester.run(sys.executable, "-m", "pytest_modelbench", "thresholds", "report.json")
    assert finished.ret == 0, str(finished.stderr)
    assert "largest_output" in pytester.path.joinpath("modelbench.toml").read_text()


def test_the_schema_has_the_kpis_of_a_package(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """`schema` of the console command loads packages as a session does."""
    install(pytester, monkeypatch)
    finished = pytester.run(sys.executable, "-m", "pytest_modelbench", "schema")
    assert finished.ret == 0
    assert "distinct_labels" in json.loads(finished.stdout.str())["properties"]["kpi"]["properties"]
