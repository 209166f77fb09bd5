"""Where the models and the data of one item come from: fixtures, the command line, a modelbench.toml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.data.given import in_shards, with_reading
from pytest_modelbench.errors import (
    ModelbenchError,
    ModelError,
    NotApplicable,
    Skipped,
    UsageMistake,
    cause_of,
    message_of,
    visible,
)
from pytest_modelbench.exports.deployed import Deployed
from pytest_modelbench.models.endpoints import refuse_elsewhere
from pytest_modelbench.models.named import NamedSpec, spec_key
from pytest_modelbench.models.saved import SavedModel
from pytest_modelbench.plugin.deploying import deployed_as
from pytest_modelbench.plugin.items import plan_of, session_of, settings_of
from pytest_modelbench.plugin.parametrisation import cases_for, defined_for, named_for
from pytest_modelbench.plugin.stash import MISTAKES, STATE
from pytest_modelbench.plugin.undefined import Undefined

if TYPE_CHECKING:
    from pytest_modelbench.data.edge_cases import EdgeCase
    from pytest_modelbench.models.base import Model

ONLY_CONTRACT = "it needs the teacher itself, and this session has only its contract"


def resolve(config: pytest.Config, value: Any) -> Any:
    """Return what a fixture gave, building what the command line named.

    Raises:
        UsageMistake: it is not defined.
        ModelError: the factory raised.
    """
    if isinstance(value, Undefined):
        raise value.missing()
    if not isinstance(value, NamedSpec):
        return value
    if value.target:
        return Deployed(resolve(config, replace(value, target="")), value.target)
    from pytest_modelbench.models.locate import build, locate

    folder = Path(config.invocation_params.dir)
    key = spec_key(value, str(folder))

    def made() -> Any:
        if value.sharded:
            return in_shards(dict(value.reading), value.folder or folder)
        built = build(locate(value, folder))
        return with_reading(built, dict(value.reading)) if value.reading else built

    session = session_of(config)
    candidate = session.once(key, made)
    session.came_from(candidate, replace(value, folder=value.folder or str(folder)))
    return candidate


def here(item: pytest.Item, role: str, candidate: Any) -> Any:
    """Return what a fixture or factory gave for a role, unless it is an endpoint on a host that is not allowed.

    Such a mistake also makes the exit code of the session 4, as one that is found at collection does.

    Raises:
        ModelError: it is.
    """
    try:
        refuse_elsewhere(candidate, settings_of(item).endpoint_allow)
    except UsageMistake as mistake:
        text, mistakes = visible(f"{role}_model: {mistake}"), item.config.stash[MISTAKES]
        mistakes += [text] if text not in mistakes else []
        raise ModelError(text) from mistake
    return candidate


class FixtureSources:
    """The models and the data of one item, as its fixtures, the command line or its modelbench.toml give them.

    Args:
        request: pytest's, of a fixture that the item asks for.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def candidate(self, role: str) -> Any:
        """Return the object that the user's fixture or factory provides for a role (see `session.Sources`).

        Raises:
            NotApplicable: it is the teacher, and the session only has its contract.
        """
        if role == "teacher" and session_of(self._request.config).contract is not None:
            raise NotApplicable(ONLY_CONTRACT)
        if role == "student":
            return self._student()
        return here(self._request.node, role, resolve(self._request.config, self._value(f"{role}_model")))

    def _student(self) -> Any:
        """Return the student, `Deployed` where it is judged so, or the file that it is deployed as.

        Raises:
            UsageMistake: its fixture returns one that is deployed, and `deploy` asks for another format.
        """
        session = session_of(self._request.config)
        if session.student_file:
            return session.once(
                ("student's file",), lambda: replace(SavedModel.parse(session.student_file), trusted=True)
            )
        node = self._request.node
        student, asked = resolve(self._request.config, self._value("student_model")), deployed_as(node)
        here(node, "student", student)
        return student if asked is None or not asked.target else Deployed(student, asked.target)

    def has(self, role: str) -> bool:
        """Whether `candidate` has the model of a role: not the teacher's where its contract takes its place."""
        node, session = self._request.node, session_of(self._request.config)
        if role == "teacher" and session.contract is not None:
            return False
        return defined_for(node, f"{role}_model", node.config.stash[STATE].settings)

    def data(self) -> Any:
        """Return the object that the user's fixture or factory provides as evaluation data."""
        return resolve(self._request.config, self._value("eval_data"))

    def _value(self, fixture: str) -> Any:
        """Set a fixture up, or take the value it has; a user's fixture that raises is the model's failure."""
        spec = _given_for(self._request.node, fixture)
        if spec is not None and fixture not in self._request.fixturenames:
            return spec
        try:
            return self._request.getfixturevalue(fixture)
        except ModelbenchError:
            raise
        except pytest.skip.Exception as skipped:
            raise Skipped(f"fixture {fixture} skipped: {message_of(skipped)}") from skipped
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ModelError(f"fixture {fixture} raised {cause_of(error)}") from error


def _given_for(item: pytest.Item, fixture: str) -> NamedSpec | None:
    """Return the teacher or the data that the command line or the item's modelbench.toml names, if any."""
    specs = named_for(item, item.config.stash[STATE].settings).get(fixture, ())
    return specs[0] if len(specs) == 1 else None


def adapted_student(request: pytest.FixtureRequest) -> Model:
    """Return the model of the fixture `student`: in a session that records a contract it is the teacher."""
    session, item, sources = session_of(request.config), request.node, FixtureSources(request)
    if settings_of(item).record_contract:
        return session.model(sources.candidate("teacher"), "teacher", settings_of(item))
    return session.student(plan_of(item), sources)


def adapted(request: pytest.FixtureRequest, value: Any, name: str) -> Model:
    """Return the model of the fixtures `teacher` and `previous`."""
    if settings_of(request.node).record_contract:
        value, name = FixtureSources(request).candidate("teacher"), "teacher"
    candidate = here(request.node, name, resolve(request.config, value))
    return session_of(request.config).model(candidate, name, settings_of(request.node))


def edge_case_of(request: pytest.FixtureRequest) -> EdgeCase:
    """Return the edge case that the item's parameter names, made once for the session.

    It knows the teacher, if one is defined, and requests it only when a check needs it.
    """
    from pytest_modelbench.data.edge_cases import input_range, make_case

    name, item, session = str(request.param), request.node, session_of(request.config)
    sources = FixtureSources(request)
    data = session.eval_data(sources.data()).first()
    seen = session.once(("input range", data.key), lambda: input_range(data))
    own = cases_for(item).get(name)

    def teacher() -> Model | None:
        if not sources.has("teacher"):
            return None
        return session.model(sources.candidate("teacher"), "teacher", settings_of(item))

    try:
        return make_case(name, data, seen, teacher, own)
    except NotApplicable as reason:
        pytest.skip(str(reason))
