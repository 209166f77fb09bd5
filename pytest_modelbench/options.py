"""The one table of options, behind the command line, the ini file and `--help`.

Read whenever pytest starts, so it holds texts only; `settings` knows what their values mean.
"""

from __future__ import annotations

from typing import Any, NamedTuple

CHILD_OPTION = "--modelbench-child"
SUITES = dict.fromkeys(("standard", "quality", "stability", "fairness", "robustness", "efficiency", "footprint"))
"""The names of suites; others may bring more to a session."""
"""The ready-made suites."""


TRACKERS = {
    name: f"pytest_modelbench.reports.trackers.{module}"
    for name, module in {
        "mlflow": "mlflow_runs",
        "wandb": "wandb_runs",
        "tensorboard": "tensorboard_events",
    }.items()
}
"""The result trackers, each with the module whose `TRACKER` sends to it; others may bring more to a session."""

ENGINES = ("serial", "processes", "ray", "dask")
"""Where the pass over data in shards runs; `bench.engines.engine` has their classes."""


class Option(NamedTuple):
    """An option: its name in the ini file, and its text in `--help`.

    `kind` is `value`, `flag` or `list`; `where` is `both`, `ini` or `command line`. `once` options say nothing of
    how an item is judged, so a command that runs it again leaves them out. `run` options may also be set in the table
    `[run]` of a modelbench.toml. `const` is the value of an option that is given without one.
    """

    name: str
    help: str
    metavar: str | None = None
    kind: str = "value"
    where: str = "both"
    once: bool = False
    run: bool = False
    const: str | None = None

    @property
    def flag(self) -> str:
        """The spelling on the command line."""
        return "--" + self.name.replace("_", "-")


OPTIONS = (
    Option("modelbench", "judge the gates (without it they are skipped)", kind="flag", once=True),
    Option(
        "modelbench_teacher",
        "the teacher: module:factory, file.py:factory, either with @weights, or a saved model; overrides the "
        "fixture teacher_model",
        "SPEC",
    ),
    Option(
        "modelbench_student",
        "a student, spelled like the teacher; repeat it for several; overrides the fixture student_model",
        "[NAME=]SPEC",
        kind="list",
    ),
    Option("modelbench_data", "the evaluation data, as module:factory; overrides the fixture eval_data", "SPEC"),
    Option(
        "modelbench_suite",
        "run a ready-made suite of KPIs over the models and data, in addition to the collected tests; "
        "repeat it for several: " + ", ".join(SUITES),
        "NAME",
        kind="list",
    ),
    Option(
        "modelbench_previous",
        "the student that ships today, spelled like the teacher: limits on regression compare with it, in the same "
        "rounds and on the same samples; overrides the fixture previous_model",
        "SPEC",
    ),
    Option(
        "modelbench_baseline",
        "baseline for limits on regression: the JSON report of an earlier run; a previous model overrides it",
        "PATH",
    ),
    Option(
        "modelbench_save_baseline",
        "write the report to PATH as well (default: modelbench-baseline.json), with what other sessions need to "
        "compare timings with it",
        "PATH",
        where="command line",
        once=True,
        const="modelbench-baseline.json",
    ),
    Option(
        "modelbench_fail_on_regression",
        "add the limit 'regression <= PERCENT' to every gate that has none",
        "PERCENT",
        run=True,
    ),
    Option(
        "modelbench_reference",
        "common reference for timings across sessions: teacher or a built-in workload (default: the baseline's "
        "reference, else the teacher)",
        "{teacher,workload}",
        run=True,
    ),
    Option(
        "modelbench_record_contract",
        "measure the teacher alone, and write its values and predictions to PATH, for sessions that judge without it",
        "PATH",
        where="command line",
    ),
    Option(
        "modelbench_contract",
        "judge students by the contract that --modelbench-record-contract wrote; the teacher is not loaded",
        "PATH",
    ),
    Option(
        "modelbench_record_export",
        "write what each export came to to PATH, for machines that cannot run its format, such as TensorRT",
        "PATH",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_export_record",
        "accept formats that this machine cannot run by what --modelbench-record-export wrote of the same model",
        "PATH",
        once=True,
    ),
    Option("modelbench_json", "write the JSON report to PATH", "PATH", once=True),
    Option(
        "modelbench_benchmark_json",
        "write the timings to PATH, in the JSON format of pytest-benchmark",
        "PATH",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_markdown",
        "write the report to PATH in GitHub's Markdown, such as for a comment on a pull request",
        "PATH",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_html",
        "write the report to PATH as one HTML file with plots, which needs no network and no script",
        "PATH",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_openmetrics",
        "write values and verdicts to PATH as OpenMetrics text, for Prometheus and GitLab",
        "PATH",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_codequality",
        "write the gates that did not pass to PATH in GitLab's code quality format",
        "PATH",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_history",
        "add a line for this run to PATH (JSON lines), for python -m pytest_modelbench history",
        "PATH",
        once=True,
    ),
    Option(
        "modelbench_log",
        "send the results to a tracker, one run for each student: mlflow[:TRACKING_URI], wandb[:PROJECT], "
        "tensorboard[:FOLDER]; repeat it or separate them by commas for several",
        "NAME[:WHERE]",
        kind="list",
        once=True,
    ),
    Option(
        "modelbench_deploy",
        "formats that every student is exported to and also judged in, separated by commas, such as onnx,openvino; "
        "the exported student int8 is int8@onnx",
        "FORMATS",
        run=True,
    ),
    Option(
        "modelbench_device",
        "move torch models and their inputs to cpu, cuda, cuda:N or mps (default: the model's device)",
        "DEVICE",
        run=True,
    ),
    Option("modelbench_threads", "number of threads for torch (default: torch's own)", "N", run=True),
    Option("modelbench_seed", "seed of the block order and of every bootstrap (default: 0)", "N", run=True),
    Option(
        "modelbench_budget",
        "longest time that one timed measurement may take, in seconds (default: 60)",
        "SECONDS",
        run=True,
    ),
    Option(
        "modelbench_engine",
        "where models run over data in shards (see also --modelbench-shards): serial (in the session's process), "
        "processes (of this machine), ray or dask (a cluster, or workers of this machine) (default: serial)",
        "{" + ",".join(ENGINES) + "}",
        run=True,
    ),
    Option(
        "modelbench_workers",
        "number of the engine's workers (default: the processors that pytest may use, or those of the cluster)",
        "N",
        run=True,
    ),
    Option(
        "modelbench_shards",
        "number of parts that data in memory are cut into for the workers of the engine (default: data in memory are "
        "not cut, and models answer in the session's process)",
        "N",
        run=True,
    ),
    Option(
        "modelbench_num_gpus",
        "GPUs for each worker of the engines processes and ray; 0.5 lets two workers share one (default: workers get "
        "none from ray, and see all of this machine in processes)",
        "F",
        run=True,
    ),
    Option(
        "modelbench_resume",
        "use the results of shards that an earlier run has left, such as one that was interrupted",
        kind="flag",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_inconclusive",
        "outcome of an item with an inconclusive verdict: fail, or pass with a warning (default: fail)",
        "{fail,warn}",
        run=True,
    ),
    Option(
        "modelbench_diagnose",
        "find out why a student is not faster, after all tests: auto (a timed gate fails or is inconclusive, or the "
        "time shrinks by less than half as much as the size), always, or never (default: auto)",
        "{auto,always,never}",
        run=True,
    ),
    Option(
        "modelbench_strict",
        "also fail if no gate was collected, a gate was not run, or its baseline is missing",
        kind="flag",
    ),
    Option(
        "modelbench_allocator",
        "steady disables allocator trimming while timing; system keeps the C library's defaults (default: steady)",
        "{steady,system}",
        run=True,
    ),
    Option(
        "modelbench_allow_pickle",
        "load pickled models; unpickling executes code from the file (default: refuse)",
        kind="flag",
    ),
    Option(
        "modelbench_endpoint_allow",
        "a host apart from this machine that models may be asked at (kserve://, rest://, torchserve://, openai://); "
        "repeat it for several (default: none; requests go to this machine only)",
        "HOST",
        kind="list",
    ),
    Option(
        "modelbench_plan",
        "print what the selected items would measure, and which gates share it; run nothing",
        kind="flag",
        where="command line",
        once=True,
    ),
    Option(
        "modelbench_selfcheck",
        "time separately built copies of a small model, print the smallest effect that this machine resolves and its "
        "false alarms, and exit (takes --modelbench-threads, --modelbench-allocator, --modelbench-seed)",
        kind="flag",
        where="command line",
        once=True,
    ),
    Option("modelbench_kpis", "print the catalogue of KPIs and exit", kind="flag", where="command line", once=True),
    Option(
        "modelbench_artifacts",
        "write traces (Chrome, Perfetto, TensorBoard), operator tables and memory timelines of the fixture profiler "
        "into folders of DIR, and exported models into DIR/STUDENT/FORMAT, and "
        "samples that attacks lost into DIR/MODEL/ATTACK",
        "DIR",
        once=True,
    ),
    Option(
        "modelbench_country",
        "country whose grid intensity converts energy to carbon (ISO 3166-1 alpha-3, e.g. DEU)",
        "CODE",
        run=True,
    ),
    Option(
        "modelbench_grid_intensity",
        "grams of CO2 equivalents for a kilowatt-hour; overrides the country's",
        "G_PER_KWH",
        run=True,
    ),
    Option(
        "modelbench_energy_window",
        "length of one energy-measurement window, in seconds (default: 5)",
        "SECONDS",
        run=True,
    ),
    Option(
        "modelbench_tiers",
        "hardware tiers that replace the built-in table, one per line: NAME = MEMORY, such as T4 = 16 GB",
        kind="list",
        where="ini",
    ),
    Option(
        "modelbench_confidence",
        "confidence of each side for every gate without confidence=; makes quality limits non-inferiority tests",
        where="ini",
        run=True,
    ),
)


def given_options(options: Any) -> list[str]:
    """Return the arguments that were given on the command line and say how an item is judged.

    Args:
        options: pytest's parsed command line.
    """
    parts: list[str] = []
    for option in OPTIONS:
        argument = getattr(options, option.name, None)
        if argument is None or option.once:
            continue
        values = argument if isinstance(argument, list) else [argument]
        parts += [option.flag if option.kind == "flag" else f"{option.flag}={value}" for value in values]
    return parts
