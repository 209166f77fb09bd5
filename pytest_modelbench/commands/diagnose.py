"""The console command `diagnose`: why a student is not faster than its teacher, outside of a test run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.grammar.option_values import WEEK_S, Number, device

if TYPE_CHECKING:
    from pytest_modelbench.diagnosis.finding import Diagnosis
    from pytest_modelbench.models.base import Model

BUDGET_S = 30.0


def add_diagnose(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "diagnose", help="find out why a student that is smaller than its teacher is not as fast as that promises"
    )
    for name in ("teacher", "student"):
        parser.add_argument(
            name, metavar=name.upper(), help="module:factory, file.py:factory, either with @weights, or a saved model"
        )
    parser.add_argument("data", metavar="DATA", help="the evaluation data, as module:factory")
    batch, seconds = Number(least=1, most=2**31, whole=True), Number(least=1, most=WEEK_S)
    threads = Number(least=1, most=1024, whole=True)
    parser.add_argument("--batch-size", type=_checked(batch), default=1, metavar="N", help="default: 1")
    parser.add_argument("--budget", type=_checked(seconds), default=BUDGET_S, metavar="SECONDS", help="default: 30")
    parser.add_argument("--threads", type=_checked(threads), metavar="N", help="threads for torch")
    parser.add_argument("--device", type=_checked(device), metavar="DEVICE", help="cpu, cuda, cuda:N or mps")
    parser.add_argument("--always", action="store_true", help="also if the student is as fast as its size promises")
    parser.add_argument("--only", action="append", metavar="CAUSE", help="test one cause only; repeat it for several")
    parser.add_argument("--allow-pickle", action="store_true", help="load pickled models, which executes their code")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the diagnosis to PATH, a new file")


def _checked(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def converted(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"found {shown(text)}, expected {error}") from error

    return converted


def diagnosed(args: argparse.Namespace) -> Diagnosis:
    """Load both models and a batch, and diagnose the student.

    Raises:
        ModelbenchError: a model or the data cannot be loaded, or an argument is wrong.
    """
    from pytest_modelbench.bench.machine_lock import MachineLock
    from pytest_modelbench.data.drawn import Draws
    from pytest_modelbench.data.given import as_eval_data
    from pytest_modelbench.diagnosis.catalogue import HYPOTHESES
    from pytest_modelbench.diagnosis.run import Asked, diagnose

    causes = [hypothesis.cause for hypothesis in HYPOTHESES]
    unknown = [cause for cause in args.only or () if cause not in causes]
    if unknown:
        raise UsageMistake(f"--only: found {shown(unknown[0])}, expected one of {', '.join(causes)}")
    student, teacher = _model(args, "student"), _model(args, "teacher")
    batch = Draws(as_eval_data(_built(args.data))).of(args.batch_size).copies()[0]
    if args.threads is not None:
        _limit_threads(args.threads)
    reason = "asked by --always" if args.always else ""
    with MachineLock().exclusive():
        return diagnose(student, teacher, batch, Asked(budget_s=args.budget, reason=reason, only=args.only))


def _model(args: argparse.Namespace, role: str) -> Model:
    from pytest_modelbench.models.registry import adapt
    from pytest_modelbench.models.saved import Loading

    loading = Loading(name=role, device=args.device, allow_pickle=args.allow_pickle, threads=args.threads)
    return adapt(_built(getattr(args, role)), loading)


def _built(spec: str) -> Any:
    from pytest_modelbench.models.locate import build, locate
    from pytest_modelbench.models.named import parse_spec

    try:
        named = parse_spec(spec)
    except ValueError as error:
        raise UsageMistake(f"found {shown(spec)}, expected {error}") from error
    return build(locate(named, Path.cwd()))


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
