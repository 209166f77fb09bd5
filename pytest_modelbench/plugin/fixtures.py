"""The fixtures: `teacher`, `student`, `previous`, `kpi`, and the four that users override."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_modelbench.data.corruptions.case import CorruptedCase
    from pytest_modelbench.data.edge_cases import EdgeCase
    from pytest_modelbench.models.base import Model
    from pytest_modelbench.plugin.diagnosis_fixture import Diagnoser
    from pytest_modelbench.plugin.kpi_fixture import KpiAccess
    from pytest_modelbench.plugin.profiler_fixture import Profiler
    from pytest_modelbench.probes.cost.energy import EnergyMeter
    from pytest_modelbench.probes.cost.resident import PeakMeter


@pytest.fixture(scope="session")
def teacher_model() -> Any:
    """Override me: return the teacher, an nn.Module, a fitted scikit-learn estimator or a callable."""
    from pytest_modelbench.plugin.undefined import Undefined

    return Undefined("teacher_model", "--modelbench-teacher")


@pytest.fixture(scope="session")
def student_model() -> Any:
    """Override me: return the student; `params=` judges several, each test runs for each of them."""
    from pytest_modelbench.plugin.undefined import Undefined

    return Undefined("student_model", "--modelbench-student")


@pytest.fixture(scope="session")
def previous_model() -> Any:
    """Override me: return the student that ships today, which limits on `regression` compare with."""
    from pytest_modelbench.plugin.undefined import Undefined

    return Undefined("previous_model", "--modelbench-previous")


@pytest.fixture(scope="session")
def eval_data() -> Any:
    """Override me: return EvalData(inputs, targets), an (inputs, targets) tuple, a Dataset or a DataLoader."""
    from pytest_modelbench.plugin.undefined import Undefined

    return Undefined("eval_data", "--modelbench-data")


@pytest.fixture
def teacher(request: pytest.FixtureRequest, teacher_model: Any) -> Model:
    """Return the teacher as a Model: `teacher(inputs)` runs one batch in inference mode."""
    from pytest_modelbench.plugin.sources import adapted

    return adapted(request, teacher_model, "teacher")


@pytest.fixture(scope="session")
def _deployed_as(request: pytest.FixtureRequest) -> Any:
    """Return the format that the student is judged in, as `deploy` asks for it; None for the model itself."""
    return getattr(request, "param", None)


@pytest.fixture
def student(
    request: pytest.FixtureRequest,
    student_model: Any,  # noqa: ARG001 - set up before, and what tests are parametrised by
    _deployed_as: Any,
) -> Model:
    """Return the student as a Model: `student(inputs)` runs one batch in inference mode."""
    from pytest_modelbench.plugin.sources import adapted_student

    return adapted_student(request)


@pytest.fixture
def previous(request: pytest.FixtureRequest, previous_model: Any) -> Model:
    """Return the student that ships today as a Model."""
    from pytest_modelbench.plugin.sources import adapted

    return adapted(request, previous_model, "previous")


@pytest.fixture
def edge_case(request: pytest.FixtureRequest) -> EdgeCase:
    """Return one edge case of the evaluation inputs: `student.check_finite(edge_case)`; one item for each."""
    from pytest_modelbench.plugin.sources import edge_case_of

    return edge_case_of(request)


@pytest.fixture
def corruption(request: pytest.FixtureRequest) -> CorruptedCase:
    """Return the first batch of the evaluation data under a corruption: `.inputs`, `.plain`, `.targets`."""
    from pytest_modelbench.plugin.corrupted_cases import corrupted_case_of

    return corrupted_case_of(request)


@pytest.fixture
def memory_meter() -> PeakMeter:
    """Measure what a block takes of memory: `with memory_meter as memory: ...`, then `memory.peak_bytes`."""
    from pytest_modelbench.probes.cost.resident import PeakMeter

    return PeakMeter()


@pytest.fixture
def energy_meter(request: pytest.FixtureRequest) -> EnergyMeter:
    """Measure a block of at least a second: `with energy_meter as energy: ...`, then `energy.joules`."""
    from pytest_modelbench.plugin.items import session_of
    from pytest_modelbench.probes.cost.energy import EnergyMeter

    return EnergyMeter(session_of(request.config).energy_source())


@pytest.fixture
def profiler(request: pytest.FixtureRequest) -> Profiler:
    """Profile by torch.profiler: `profiler.profile(student, batch)`, `profiler.compare(teacher, student, batch)`."""
    from pytest_modelbench.plugin.profiler_fixture import Profiler

    return Profiler(request.node)


@pytest.fixture
def diagnosis(request: pytest.FixtureRequest) -> Diagnoser:
    """Find out why a student is slow: `diagnosis(student, teacher, batch).causes`."""
    from pytest_modelbench.plugin.diagnosis_fixture import Diagnoser

    return Diagnoser(request.node)


@pytest.fixture
def kpi(request: pytest.FixtureRequest) -> KpiAccess:
    """Read this test's gate: `kpi.student.value`, `kpi.teacher`, `kpi.comparison`, `kpi.record(...)`."""
    from pytest_modelbench.plugin.kpi_fixture import KpiAccess

    return KpiAccess(request)
