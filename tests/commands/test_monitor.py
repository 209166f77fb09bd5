"""The console command `monitor`: an accepted model judged by recorded predictions."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from suites import FAKES, checked

from pytest_modelbench.commands.cli import main

SRC = Path(__file__).parents[2]
ACCEPTED_SUITE = """
@pytest.mark.kpi("top1_accuracy", ">= 90%", "drop <= 5 pp", "regression <= 5%")
@pytest.mark.kpi("f1", ">= 90%")
@pytest.mark.kpi("ece", "<= 40%")
@pytest.mark.kpi("parameters", "<= 20000")
def test_quality(): ...

@pytest.mark.kpi("latency_p50", "<= 20 ms", "reduction >= 10%")
@pytest.mark.kpi("latency_p99", "<= 60 ms")
def test_latency(): ...
"""


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of a real run: ten equal classes, 98% right."""
    folder = tmp_path_factory.mktemp("accepted")
    folder.joinpath("conftest.py").write_text(FAKES)
    folder.joinpath("test_sla.py").write_text(f"import pytest\n{ACCEPTED_SUITE}")
    text = run_pytest(folder, "--modelbench-save-baseline=accepted.json")
    path = folder / "accepted.json"
    assert path.exists(), text
    report = json.loads(path.read_text())
    checked(report)
    return path


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's answers to 200 named samples, of which it has two wrong."""
    folder = tmp_path_factory.mktemp("contract")
    folder.joinpath("conftest.py").write_text(
        FAKES.replace("EvalData(INPUTS, TARGETS)", "EvalData(INPUTS, TARGETS, ids=[f's{at}' for at in range(ROWS)])")
    )
    folder.joinpath("test_sla.py").write_text(f"import pytest\n{ACCEPTED_SUITE}")
    run_pytest(folder, "--modelbench-record-contract=teacher.mbc", "-k", "quality")
    assert folder.joinpath("teacher.mbc").exists()
    return folder / "teacher.mbc"


def run_pytest(folder: Path, *options: str) -> str:
    """Run pytest on fake models, which wait for no other run: the lock of the machine is in the folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--modelbench", *options],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(SRC), "TMPDIR": str(folder)},
    )  # fmt: skip
    return done.stdout + done.stderr


def rows(
    n: int = 3000, *, wrong: float = 0.02, shares: Sequence[float] | None = None, seed: int = 0, ids: bool = True
) -> list[dict[str, Any]]:
    """Return rows of production: labels of ten classes, predictions that are wrong at a rate, latencies."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(10, n, p=shares)
    predictions = np.where(rng.random(n) < wrong, (labels + 1) % 10, labels)
    latency = rng.lognormal(2.0, 0.3, n)
    table = [
        {"prediction": int(p), "label": int(y), "latency_ms": round(float(t), 3)}
        for p, y, t in zip(predictions, labels, latency, strict=True)
    ]
    return [{"id": f"r{at}", **row} for at, row in enumerate(table)] if ids else table


def write(path: Path, table: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table))
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(list(table)), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return path


class Judged(NamedTuple):
    """What a command printed, its exit code, and the report's gates by KPI."""

    code: int
    out: str
    err: str
    gates: dict[str, dict[str, Any]]
    report: dict[str, Any]

    def limit(self, kpi: str, text: str) -> str:
        """Return the verdict of one limit."""
        return str(next(limit["verdict"] for limit in self.gates[kpi]["limits"] if limit["text"] == text))


class Monitor:
    """Runs the command in an empty folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, table: Sequence[dict[str, Any]] | Path, *options: str, name: str = "production.csv") -> Judged:
        path = table if isinstance(table, Path) else write(self.folder / name, table)
        code = main(["monitor", str(path), *options, "--json", "out.json"])
        out, err = self._capsys.readouterr()
        report: dict[str, Any] = {}
        if Path("out.json").exists():
            report = json.loads(Path("out.json").read_text(), parse_constant=pytest.fail)
            checked(report)
        return Judged(code, out, err, {gate["kpi"]: gate for gate in report.get("gates", [])}, report)


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Monitor:
    monkeypatch.chdir(tmp_path)
    return Monitor(tmp_path, capsys)


LIMITS = '[kpi]\nprediction_drift = "<= 0.15"\n'


def limits(text: str = LIMITS) -> str:
    Path("production.toml").write_text(text)
    return "--limits=production.toml"


@pytest.mark.parametrize("name", ["production.csv", "production.jsonl", "production.parquet"])
def test_unchanged_production_passes(monitor: Monitor, accepted: Path, name: str) -> None:
    """Every limit that applies holds in each format; those that production cannot answer say why."""
    judged = monitor(rows(), f"--baseline={accepted}", limits(), name=name)
    assert judged.code == 0, judged.out + judged.err
    assert judged.gates["top1_accuracy"]["verdict"] == "pass"
    assert judged.gates["prediction_drift"]["verdict"] == "pass"
    assert judged.gates["latency_p99"]["verdict"] == "pass"
    assert judged.limit("latency_p50", "<= 20 ms") == "pass"
    assert judged.limit("latency_p50", "reduction >= 10%") == "not_applicable"
    assert judged.gates["parameters"]["verdict"] == "not_applicable"
    assert judged.gates["ece"]["verdict"] == "not_applicable"
    assert "it cannot be derived from recorded predictions" in judged.out
    assert judged.report["exit_status"] == 0
    assert judged.report["complete"]
    assert "\nstudent in production\n" in judged.out
    assert f"{name}: 3,000 rows, 3,000 with labels, read as multiclass" in judged.out


def test_planted_decay_fails(monitor: Monitor, accepted: Path) -> None:
    """A model that became wrong for one row in five, with the value it was accepted with beside it."""
    judged = monitor(rows(wrong=0.2), f"--baseline={accepted}")
    assert judged.code == 1
    assert judged.limit("top1_accuracy", ">= 90%") == "fail"
    assert judged.limit("top1_accuracy", "regression <= 5%") == "fail"
    assert judged.limit("top1_accuracy", "drop <= 5 pp") == "fail"
    assert judged.gates["top1_accuracy"]["readings"]["baseline"]["value"] == 98.0
    assert "FAIL" in judged.out
    assert judged.report["exit_status"] == 1


def test_conditions_are_those_of_the_accepted_run(monitor: Monitor, accepted: Path) -> None:
    """The same model has the same parameters; without a baseline both limits may hold."""
    report = json.loads(accepted.read_text())
    gate = next(gate for gate in report["gates"] if gate["kpi"] == "parameters")
    assert gate["readings"]["student"]["value"] == 10_000
    few, many = "parameters <= 20000", "parameters <= 5000"
    for condition, verdict in ((few, "pass"), (many, "fail")):
        text = f'[kpi]\ntop1_accuracy = ">= 85% if {condition}, else >= 99.9%"\n'
        judged = monitor(rows(), f"--baseline={accepted}", limits(text))
        assert judged.gates["top1_accuracy"]["verdict"] == verdict, judged.out
        assert monitor(rows(), limits(text)).gates["top1_accuracy"]["verdict"] == "inconclusive"


def test_few_rows_are_inconclusive(monitor: Monitor, accepted: Path) -> None:
    """An interval that spans the limit decides nothing: exit code 3."""
    judged = monitor(rows(30, wrong=0.1, seed=1), f"--baseline={accepted}")
    assert judged.code == 3
    assert judged.limit("top1_accuracy", ">= 90%") == "inconclusive"
    assert "INCONCLUSIVE" in judged.out


def test_planted_drift_fails_without_labels(monitor: Monitor, accepted: Path) -> None:
    """Half of the predictions became one class; quality is not judged, and says so."""
    table = [{"prediction": row["prediction"]} for row in rows(shares=[0.55, *[0.05] * 9])]
    judged = monitor(table, f"--baseline={accepted}", limits())
    assert judged.code == 1
    assert judged.gates["prediction_drift"]["verdict"] == "fail"
    assert judged.gates["top1_accuracy"]["verdict"] == "not_applicable"
    assert "it needs labels, and production has none. Name their column by --label" in judged.out
    assert "no labels" in judged.out


def test_drift_is_reported_without_a_limit(monitor: Monitor, accepted: Path) -> None:
    """It is in the table, and decides nothing."""
    judged = monitor(rows(shares=[0.55, *[0.05] * 9]), f"--baseline={accepted}")
    assert judged.gates["prediction_drift"]["verdict"] == "reported"
    assert judged.gates["prediction_drift"]["readings"]["student"]["ci_low"] > 0.2
    assert judged.code == 0


def test_new_class_is_named(monitor: Monitor, accepted: Path) -> None:
    """A class that the reference does not have counts as drift, and is in the notes."""
    table = rows()
    for row in table[::3]:
        row["prediction"] = row["label"] = 77
    judged = monitor(table, f"--baseline={accepted}", limits())
    assert judged.gates["prediction_drift"]["verdict"] == "fail"
    assert judged.gates["prediction_drift"]["notes"] == ["classes that the reference does not have: 77"]


def test_labels_of_some_rows(monitor: Monitor, accepted: Path) -> None:
    """Quality is that of the labelled rows, drift that of all."""
    table = rows()
    for row in table[1000:]:
        row["label"] = ""
    judged = monitor(table, f"--baseline={accepted}")
    assert judged.gates["top1_accuracy"]["readings"]["student"]["n"] == 1000
    assert judged.gates["prediction_drift"]["readings"]["student"]["n"] == 3000
    assert judged.gates["top1_accuracy"]["notes"][0] == "1,000 of 3,000 rows have a label"
    assert "3,000 rows, 1,000 with labels" in judged.out


def test_scores(monitor: Monitor, accepted: Path) -> None:
    """One column for each class gives the KPIs of scores, and the drift of confidences."""
    rng = np.random.default_rng(3)
    table = []
    for row in rows():
        logits = np.zeros(10)
        logits[row["prediction"]] = 5.0
        chances = np.exp(logits) / np.exp(logits).sum()
        del row["prediction"]
        table.append({**row, **{f"p{k}": round(float(chance), 6) for k, chance in enumerate(chances)}})
    judged = monitor(table, f"--baseline={accepted}", "--scores=p*")
    assert judged.code == 0, judged.out + judged.err
    assert judged.gates["ece"]["verdict"] == "pass"
    assert judged.gates["confidence_drift"]["readings"]["student"]["value"] == 0
    for row in table:
        mixed = rng.uniform(0.3, 0.9)
        for k in range(10):
            row[f"p{k}"] = mixed * row[f"p{k}"] + (1 - mixed) / 10
    judged = monitor(table, f"--baseline={accepted}", "--scores=p*", limits('[kpi]\nconfidence_drift = "<= 0.1"\n'))
    assert judged.gates["confidence_drift"]["verdict"] == "fail"


def test_limits_without_a_baseline(monitor: Monitor) -> None:
    """A file of limits is enough; what needs a baseline says so."""
    text = '[kpi]\ntop1_accuracy = [">= 90%", "regression <= 5%"]\nprediction_drift = "<= 0.1"\n'
    judged = monitor(rows(), limits(text))
    assert judged.limit("top1_accuracy", ">= 90%") == "pass"
    assert judged.limit("top1_accuracy", "regression <= 5%") == "no_baseline"
    assert "no reference. Give --baseline the report of the accepted run" in judged.out
    assert judged.code == 0


def test_regression_task(monitor: Monitor) -> None:
    """Numbers that are not whole are values: their errors are judged, and a window is the baseline of the next."""
    rng = np.random.default_rng(0)
    truth = rng.normal(20, 5, 2000)
    table = [{"prediction": t + e, "label": t} for t, e in zip(truth, rng.normal(0, 1, 2000), strict=True)]
    text = '[kpi]\nmae = "<= 1"\nrmse = ["<= 1.1", "regression <= 20%"]\nprediction_drift = "<= 0.1"\n'
    first = monitor(table, limits(text))
    assert first.code == 0, first.out + first.err
    assert first.report["production"]["task"] == "regression"
    Path("out.json").rename("first.json")
    again = monitor(table, "--baseline=first.json", limits(text))
    assert again.code == 0
    assert again.gates["prediction_drift"]["verdict"] == "pass"
    hotter = [{"prediction": row["prediction"] + 5, "label": row["label"]} for row in table]
    judged = monitor(hotter, "--baseline=first.json", limits(f'{text}top1_accuracy = ">= 1%"\n'))
    assert "Write --task multiclass if that is wrong" in judged.gates["top1_accuracy"]["reason"]
    assert judged.code == 1
    assert judged.gates["prediction_drift"]["verdict"] == "fail"
    assert judged.limit("rmse", "regression <= 20%") == "fail"


def test_latency_against_an_earlier_window(monitor: Monitor, accepted: Path) -> None:
    """A latency of production is compared with one of production, never with one that was timed alone."""
    text = '[kpi]\nlatency_p50 = ["<= 20 ms", "regression <= 10%"]\n'
    judged = monitor(rows(), f"--baseline={accepted}", limits(text))
    assert judged.limit("latency_p50", "regression <= 10%") == "no_baseline"
    assert "timed the model alone" in judged.out
    Path("out.json").rename("week.json")
    slower = [{**row, "latency_ms": 1.3 * row["latency_ms"]} for row in rows(seed=5)]
    judged = monitor(slower, "--baseline=week.json", limits(text))
    assert judged.limit("latency_p50", "regression <= 10%") == "fail"


def test_slow_spell_widens_the_interval(monitor: Monitor) -> None:
    """Rows are in the order of time: latencies that are slow in spells are worth fewer rows than spread ones."""
    rng = np.random.default_rng(2)
    slow = np.repeat(rng.random(60) < 0.5, 50)
    spells = [{"prediction": 1, "latency_ms": 20.0 if s else 10.0} for s in slow]
    mixed = [spells[at] for at in rng.permutation(len(spells))]
    text = limits('[kpi]\nlatency_mean = "<= 50 ms"\n')

    def width(table: list[dict[str, Any]]) -> float:
        reading = monitor(table, text).gates["latency_mean"]["readings"]["student"]
        return float(reading["ci_high"] - reading["ci_low"])

    assert width(spells) > 2 * width(mixed)


def test_errors_in_spells_widen_the_interval(monitor: Monitor) -> None:
    """A bad hour is worth fewer rows than as many errors at any time; labels and numbers alike."""
    rng = np.random.default_rng(4)
    bad = np.repeat(rng.random(100) < 0.1, 20)
    for text, right, wrong in (("top1_accuracy = '>= 50%'", 1, 2), ("mae = '<= 9'", 1.5, 3.5)):
        label = round(right)
        spells = [{"prediction": wrong if b else right, "label": label} for b in bad]
        mixed = [spells[at] for at in rng.permutation(len(spells))]
        gates = [monitor(table, limits(f"[kpi]\n{text}\n")).gates for table in (spells, mixed)]
        readings = [gate["readings"]["student"] for of in gates for gate in of.values()]
        widths = [reading["ci_high"] - reading["ci_low"] for reading in readings]
        assert widths[0] > 2 * widths[1]
        assert "ends widened to those of" in readings[0]["method"]


def test_times_order_rows_and_bound_windows(monitor: Monitor) -> None:
    """Rows that are not in order are sorted; --since and --last take the newest."""
    table = [{"timestamp": f"2026-01-{day:02}T00:00:00Z", "prediction": int(day > 20)} for day in range(1, 31)]
    shuffled = [table[at] for at in np.random.default_rng(0).permutation(30)]
    text = limits('[kpi]\nprediction_drift = "<= 0.1"\n')
    judged = monitor(shuffled, text, "--since=2026-01-21", "--last=4")
    assert judged.report["production"]["rows"] == 4
    assert judged.report["production"]["first"] == "2026-01-27T00:00:00+00:00"
    assert judged.report["models"]["students"]["student"]["answers"]["production"]["predictions"]["names"] == ["1"]


def test_report_can_be_read_by_the_other_commands(monitor: Monitor, accepted: Path) -> None:
    """It is a report like that of a run: HTML, compare, check and history take it."""
    monitor(rows(), f"--baseline={accepted}", "--history=h.jsonl")
    assert main(["report", "out.json", "--html", "out.html"]) == 0
    assert "rows 3000, labelled 3000, task multiclass" in Path("out.html").read_text()
    assert main(["check", "out.json"]) == 0
    Path("out.json").rename("first.json")
    monitor(rows(seed=8), f"--baseline={accepted}", "--history=h.jsonl")
    assert main(["compare", "first.json", "out.json", "--limit", "40%"]) == 0
    assert main(["compare", str(accepted), "out.json"]) in {0, 1}
    assert main(["history", "show", "h.jsonl"]) == 0
    assert len(Path("h.jsonl").read_text().splitlines()) == 2


def test_rows_are_paired_with_a_contract(monitor: Monitor, contract: Path) -> None:
    """By id, in any order: KPIs that compare with the teacher row by row, on the rows that it has answered."""
    table = [{"id": f"s{at}", "prediction": (at + (at % 7 == 0)) % 10, "label": at % 10} for at in range(200)]
    table = [*table[::-1], *({"id": f"new{at}", "prediction": 1, "label": 1} for at in range(100))]
    table[-1]["label"] = ""
    text = limits('[kpi]\nagreement = ">= 95%"\ntop1_accuracy = "drop <= 2 pp"\nnegative_flip_rate = "<= 5%"\n')
    judged = monitor(table, text, f"--contract={contract}")
    assert judged.code == 1, judged.out + judged.err
    assert judged.gates["agreement"]["readings"]["student"]["value"] == pytest.approx(86, abs=1)
    assert judged.gates["agreement"]["verdict"] == "fail"
    assert judged.limit("top1_accuracy", "drop <= 2 pp") == "fail"
    assert judged.gates["top1_accuracy"]["readings"]["teacher"]["value"] == 99
    assert judged.gates["top1_accuracy"]["notes"][0] == "200 rows that the contract knows"
    assert monitor(table, text).gates["agreement"]["verdict"] == "not_applicable"


def test_only_labelled_rows_are_paired(monitor: Monitor, contract: Path) -> None:
    """A row that the contract knows and that has no label is left out."""
    table = [{"id": f"s{at}", "prediction": at % 10, "label": at % 10 if at >= 50 else ""} for at in range(200)]
    text = limits('[kpi]\ntop1_accuracy = "drop <= 2 pp"\n')
    judged = monitor(table, text, f"--contract={contract}")
    assert judged.gates["top1_accuracy"]["readings"]["teacher"]["n"] == 150
    assert judged.gates["top1_accuracy"]["readings"]["teacher"]["value"] == 100
    for row in table:
        row["label"] = ""
    table.append({"id": "new", "prediction": 1, "label": 1})
    assert (
        "none of the 200 rows that the contract knows has a label"
        in monitor(table, text, f"--contract={contract}").err
    )


def test_paired_rows_are_in_the_order_of_production(monitor: Monitor, contract: Path) -> None:
    """Newly wrong rows in one spell of production widen the comparison; those in one of the contract do not."""
    table = [{"id": f"s{at}", "prediction": (at + (at < 30)) % 10, "label": at % 10} for at in range(200)]
    mixed = [table[at] for at in np.random.default_rng(0).permutation(200)]
    text = limits('[kpi]\ntop1_accuracy = "drop <= 2 pp"\n')
    widths = []
    for production in (table, mixed):
        judged = monitor(production, text, f"--contract={contract}")
        (limit,) = judged.gates["top1_accuracy"]["limits"]
        widths.append(limit["ci_high"] - limit["ci_low"])
    assert widths[0] > 1.5 * widths[1]


def test_contracts_that_do_not_fit(monitor: Monitor, contract: Path) -> None:
    """Production without ids, or with none that the contract has."""
    text = limits('[kpi]\nagreement = ">= 95%"\n')
    judged = monitor(rows(50), text, f"--contract={contract}")
    assert judged.code == 2
    assert "has none of the 50 ids of production, such as 'r0'" in judged.err
    judged = monitor(rows(50, ids=False), text, f"--contract={contract}")
    assert "--contract pairs by id, and production has no ids. Name their column by --id" in judged.err


def test_a_drift_gate_in_a_test_run_is_skipped(tmp_path: Path) -> None:
    """With the command that judges it: a modelbench.toml may serve both."""
    tmp_path.joinpath("conftest.py").write_text(FAKES)
    tmp_path.joinpath("modelbench.toml").write_text(LIMITS)
    text = run_pytest(tmp_path, "modelbench.toml")
    assert "1 skipped" in text
    assert "it is about production: `python -m pytest_modelbench monitor` judges recorded predictions" in text


def test_the_crontab_of_the_documentation(monitor: Monitor, accepted: Path) -> None:
    """Five fields of times, and a command that runs as it is written there."""
    page = SRC.joinpath("docs", "monitoring.md").read_text(encoding="utf-8")
    match = re.search(r'title="crontab"\n((?:\S+ ){5})(.*)\n```', page)
    assert match is not None
    assert all(re.fullmatch(r"\*|\d+", field) for field in match[1].split())
    words = shlex.split(re.split(r"&& python -m pytest_modelbench | > ", match[2])[1])
    write(monitor.folder / "production.csv", rows())
    Path("accepted.json").write_bytes(accepted.read_bytes())
    limits()
    assert main(words) == 0
    assert Path("history.jsonl").exists()


def test_the_workflow_of_the_documentation(tmp_path: Path) -> None:
    """The step that judges turns exit code 3 into a warning, and keeps the others."""
    page = SRC.joinpath("docs", "monitoring.md").read_text(encoding="utf-8")
    match = re.search(r"```yaml title=\"[^\"]+\"\n(.*?)```", page, re.DOTALL)
    assert match is not None
    (step,) = [s["run"] for s in yaml.safe_load(match[1])["jobs"]["monitor"]["steps"] if "code=0" in s.get("run", "")]
    for code, expected in {0: 0, 1: 1, 2: 2, 3: 0}.items():
        tmp_path.joinpath("python").write_text(f"#!/bin/sh\nexit {code}\n")
        tmp_path.joinpath("python").chmod(0o755)
        done = subprocess.run(
            ["bash", "-e", "-c", step], capture_output=True, text=True, check=False,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == expected
        assert ("::warning::" in done.stdout) is (code == 3)


BAD: dict[str, tuple[str, list[str], str]] = {
    "empty": ("", [], "production.csv is empty"),
    "header only": ("prediction,label\n", [], "has no rows, only the names of its columns: prediction, label"),
    "no prediction": (
        "pred,label\n1,1\n", [],
        "has neither a column 'prediction' nor any like 'score_*'. Write --prediction COLUMN or --scores PATTERN.",
    ),
    "no such column": (
        "prediction,label\n1,1\n", ["--latency=lat"],
        "--latency: production.csv has no column 'lat'. Its columns: 'prediction', 'label'",
    ),
    "nearly such a column": ("prediction,labels\n1,1\n", ["--label=label"], "did you mean 'labels'?"),
    "two columns of a name": ("prediction,prediction\n1,1\n", [], "has two columns 'prediction'"),
    "cut row": ("prediction,label\n1,1\n2\n", [], "production.csv:3: the row has 1 values, expected 2"),
    "open quote": ('prediction,label\n1,"a\n', [], "unexpected end of data; the file may be cut off"),
    "not text": ("prediction\n\xff\xfe", [], "is not text in UTF-8"),
    "missing label of a class": (
        "prediction,label\ncat,cat\n,dog\n", [],
        "prediction has no value in 1 of 2 rows (rows 2): a prediction that is missing is neither right nor wrong",
    ),
    "ids twice": (
        "id,prediction\na,1\nb,1\na,2\n", [],
        "rows 1 and 3 have the same id, 'a'; expected one row for each prediction",
    ),
    "no id": ("id,prediction\na,1\n,2\n", [], "production.csv: row 2 has no id"),
    "milliseconds": (
        "prediction,timestamp\n1,1764300000000\n", [],
        "row 1: found '1764300000000', expected a time as ISO 8601 (2026-11-28T09:30:00Z), or seconds since 1970 (not",
    ),
    "no whole number": ('prediction\n1\n""\n3\n', [], "prediction has no value in 1 of 3 rows (rows 2)"),
    "bad latency": ("prediction,latency_ms\n1,2\n1,fast\n", [], "latency_ms, row 2: found 'fast', expected a number"),
    "negative latency": ("prediction,latency_ms\n1,-2\n", [], "row 1: found -2.0, expected a latency in milliseconds"),
    "bad time": ("prediction,timestamp\n1,yesterday\n", [], "row 1: found 'yesterday', expected a time as ISO 8601"),
    "since without times": ("prediction\n1\n", ["--since=2026-01-01"], "has no column of times"),
    "since too late": (
        "prediction,timestamp\n1,2026-01-01\n", ["--since=2027-01-01"], "the newest is of 2026-01-01T00:00:00+00:00",
    ),
    "labels of other kind": ("prediction,label\n1,cat\n2,dog\n", [], "none of them is among the targets"),
    "text labels of numbers": (
        "prediction,label\n1.5,1\n2.5,dog\n", [], "the labels are texts, such as '1' in row 1, and the task is regression",
    ),
    "one score": ("p_a\n0.5\n", ["--scores=p_*"], "1 columns of production.csv are like 'p_*', expected one for each"),
    "scores that add up to 2": (
        "score_a,score_b,label\n0.9,1.1,a\n", ["--outputs=probabilities"], "you declared outputs='probabilities'",
    ),
    "label that no score has": ("score_a,score_b,label\n0.5,0.5,a\n0.5,0.5,c\n", [], "targets outside the classes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files(monitor: Monitor, case: str) -> None:
    """One message with what was found and what to write, exit code 2, and no report."""
    text, options, words = BAD[case]
    path = Path("production.csv")
    path.write_bytes(text.encode("latin-1"))
    judged = monitor(path, limits('[kpi]\ntop1_accuracy = ">= 50%"\n'), *options)
    assert judged.code == 2, judged.out
    assert words in judged.err, judged.err
    assert "Traceback" not in judged.err
    assert not judged.report


def test_paths_that_are_not_files(monitor: Monitor) -> None:
    """A folder, a missing file, an unknown ending, and a truncated Parquet file."""
    text = limits()
    Path("folder.csv").mkdir()
    assert "cannot read folder.csv: it is a folder" in monitor(Path("folder.csv"), text).err
    assert "cannot read gone.csv: No such file" in monitor(Path("gone.csv"), text).err
    Path("rows.xlsx").write_text("x")
    assert "the name ends in '.xlsx', expected one of .csv" in monitor(Path("rows.xlsx"), text).err
    whole = write(Path("whole.parquet"), rows(100)).read_bytes()
    Path("cut.parquet").write_bytes(whole[: len(whole) // 2])
    judged = monitor(Path("cut.parquet"), text)
    assert "cut.parquet is not a Parquet file, or only a part of one" in judged.err
    assert judged.code == 2


def test_mixed_kinds(monitor: Monitor) -> None:
    """A file that tells numbers and texts apart has one kind of prediction."""
    judged = monitor([{"prediction": 1}, {"prediction": "cat"}], limits(), name="p.jsonl")
    assert "prediction mixes texts and numbers: 'cat' in row 2 and 1 in row 1" in judged.err
    Path("p.jsonl").write_text('{"prediction": 1}\n{"predic')
    assert "p.jsonl:2: it is not JSON" in monitor(Path("p.jsonl"), limits()).err


def test_nan_predictions_are_an_error(monitor: Monitor) -> None:
    """A NaN is the model's fault, not a mistake of the user's: the gate is an error, with the row's id."""
    table: list[dict[str, Any]] = [{"id": f"r{at}", "prediction": at + 0.5, "label": at + 0.4} for at in range(100)]
    table[7]["prediction"] = float("nan")
    judged = monitor(table, limits('[kpi]\nmae = "<= 1"\nnonfinite_outputs = "== 0"\n'))
    assert judged.code == 1
    assert judged.gates["mae"]["verdict"] == "error"
    assert "1 of 100 samples" in judged.gates["mae"]["reason"]
    assert "r7" in judged.gates["mae"]["reason"]
    assert judged.gates["nonfinite_outputs"]["verdict"] == "fail"


def test_predictions_of_another_model(monitor: Monitor, accepted: Path) -> None:
    """None of the classes is one of the baseline's."""
    table = [{"prediction": "cat"}, {"prediction": "dog"}] * 50
    judged = monitor(table, f"--baseline={accepted}", limits())
    assert judged.gates["prediction_drift"]["verdict"] == "not_applicable"
    assert "none of the predictions is a class of the reference: 'cat', 'dog' here, '0', '1'" in judged.out
    assert judged.code == 3
    assert "no limit was judged: nothing is known of the model" in judged.out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda report: report["models"]["students"].clear(), "has no distribution of predictions"),
        (
            lambda report: report["models"]["students"]["student"]["answers"].update(more={"task": "multiclass"}),
            "on 2 evaluation sets",
        ),
        (
            lambda report: next(iter(report["models"]["students"]["student"]["answers"].values()))[
                "predictions"
            ].update(counts=[1]),
            "was altered",
        ),
    ],
)
def test_baselines_without_a_reference(monitor: Monitor, accepted: Path, change: Any, words: str) -> None:
    """An earlier report has no distribution, and one that was altered is a mistake."""
    report = json.loads(accepted.read_text())
    change(report)
    Path("changed.json").write_text(json.dumps(report))
    judged = monitor(rows(), "--baseline=changed.json", limits())
    assert words in judged.out + judged.err


def test_which_student(monitor: Monitor, accepted: Path) -> None:
    """Of several students one must be named."""
    report = json.loads(accepted.read_text())
    report["gates"].append({**report["gates"][0], "student": "int8"})
    Path("two.json").write_text(json.dumps(report))
    assert "two.json has 2 students: 'student', 'int8'. Write --student NAME" in monitor(
        rows(), "--baseline=two.json"
    ).err  # fmt: skip
    assert "has no student 'int4'" in monitor(rows(), "--baseline=two.json", "--student=int4").err
    assert set(monitor(rows(), "--baseline=two.json", "--student=int8").gates) >= {report["gates"][0]["kpi"]}


def test_nothing_to_judge_by(monitor: Monitor) -> None:
    """Neither limits nor a baseline; limits with mistakes are listed with their lines."""
    assert "nothing says what is judged. Write --baseline REPORT.json" in monitor(rows(5)).err
    judged = monitor(rows(5), limits('[kpi]\ntop1 = ">= 5%"\nmae = "<= x"\n'))
    assert "production.toml:2: unknown KPI 'top1'" in judged.err
    assert "production.toml:3: kpi 'mae'" in judged.err
    assert judged.code == 2


def test_files_that_are_not_ours_are_kept(monitor: Monitor, capsys: pytest.CaptureFixture[str]) -> None:
    """Said before anything is read."""
    for option in ("--json", "--history"):
        Path("mine").write_text("{}")
        assert main(["monitor", "gone.csv", limits(), option, "mine"]) == 2
        assert f"{option}: cannot write mine: it exists and is not" in capsys.readouterr().err
        assert Path("mine").read_text() == "{}"


def test_limits_of_a_file_override_those_of_the_baseline(monitor: Monitor, accepted: Path) -> None:
    """KPI by KPI; the other gates of the baseline stay."""
    judged = monitor(rows(), f"--baseline={accepted}", limits('[kpi]\ntop1_accuracy = ">= 99.9%"\n'))
    own = [gate["targets"] for gate in judged.report["gates"] if gate["kpi"] == "top1_accuracy"]
    assert own == [[">= 99.9%"]]
    assert judged.gates["f1"]["verdict"] == "pass"


def test_gates_of_several_tests_are_judged_once(monitor: Monitor, accepted: Path) -> None:
    """Equal KPI, options and limits; with the confidence of the accepted value, unless another one is stated."""
    report = json.loads(accepted.read_text())
    gate = next(gate for gate in report["gates"] if gate["kpi"] == "f1")
    gate["readings"]["student"]["confidence"] = 0.99
    report["gates"].append({**gate, "nodeid": "test_other.py::test_again[student]"})
    report["gates"].append({**gate, "nodeid": "test_other.py::test_custom[student]", "kpi": "clicks"})
    Path("twice.json").write_text(json.dumps(report))
    judged = monitor(rows(), "--baseline=twice.json")
    assert [gate["kpi"] for gate in judged.report["gates"]].count("f1") == 1
    assert judged.gates["f1"]["readings"]["student"]["confidence"] == 0.99
    assert "not judged, because the test's body or a custom metric gives them: clicks" in judged.out
    stated = monitor(rows(), "--baseline=twice.json", "--confidence=0.8")
    assert stated.gates["f1"]["readings"]["student"]["confidence"] == 0.8


def test_latencies_of_batches_are_not_those_of_rows(monitor: Monitor) -> None:
    """A limit for batches of eight says nothing of single rows."""
    judged = monitor(rows(), limits('[kpi.latency_p50]\nlimits = "<= 20 ms"\nbatch_size = 8\n'))
    assert judged.gates["latency_p50"]["verdict"] == "not_applicable"
    assert "it is for batch_size=8, and production has one latency for each row" in judged.out


@pytest.mark.filterwarnings("error")
def test_scores_that_are_not_finite(monitor: Monitor, accepted: Path) -> None:
    """Rows with such scores are an error of quality, and are left out of drift."""
    table = [{f"score_{k}": (0.91 if k == row["label"] else 0.01) for k in range(10)} | row for row in rows(500)]
    table[3]["score_4"] = float("inf")
    table[5]["score_4"] = ""
    judged = monitor(table, f"--baseline={accepted}")
    assert judged.gates["top1_accuracy"]["verdict"] == "error"
    assert "for 2 of 500 samples, in output column 4 (ids r3, r5)" in judged.out
    assert judged.gates["confidence_drift"]["readings"]["student"]["n"] == 498
    assert judged.gates["prediction_drift"]["readings"]["student"]["n"] == 498


def test_groups(monitor: Monitor) -> None:
    """Columns of groups serve the KPIs of groups."""
    table = [{**row, "sex": "ab"[at % 2]} for at, row in enumerate(rows(2000))]
    judged = monitor(table, limits('[kpi]\ndemographic_parity_difference = "<= 20 pp"\n'), "--sensitive=sex")
    assert judged.code in {0, 2}, judged.err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the most memory of a process is read on Linux")
def test_a_million_rows(tmp_path: Path) -> None:
    """Memory is bounded: the columns, and not the file's objects."""
    path = tmp_path / "many.csv"
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write("id,prediction,label,latency_ms,free_text\n")
        for start in range(0, 1_000_000, 100_000):
            labels = rng.integers(0, 10, 100_000).tolist()
            file.writelines(
                f"{start + at},{k if at % 50 else 0},{k},{k + 1}.5,{'x' * 200}\n" for at, k in enumerate(labels)
            )
    (tmp_path / "l.toml").write_text('[kpi]\ntop1_accuracy = ">= 90%"\nf1 = ">= 90%"\nlatency_p99 = "<= 1 s"\n')
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom pytest_modelbench.commands.cli import main\n"
        f"code = main(['monitor', {str(path)!r}, '--limits', {str(tmp_path / 'l.toml')!r}])\n"
        "status = Path('/proc/self/status').read_text()\n"  # ru_maxrss would include the process that started it
        "print('PEAK', int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    peak = re.search(r"PEAK (\d+)", done.stdout)
    assert peak is not None
    assert int(peak[1]) < 1200, "MiB"
