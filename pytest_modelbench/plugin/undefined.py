"""The placeholder for a model or data that the user has not defined. Read at collection."""

from __future__ import annotations

from pytest_modelbench.errors import UsageMistake


class Undefined:
    """A placeholder for a model or data that the user has not defined; only using it is an error."""

    def __init__(self, fixture: str, option: str) -> None:
        self.fixture = fixture
        self.option = option

    def missing(self) -> UsageMistake:
        """Return the error that says what to define."""
        return UsageMistake(
            f"{self.fixture} is not defined: there is only the plugin's placeholder. Override it in conftest.py with "
            f'@pytest.fixture(scope="session"), give {self.option} module:factory, or name it in modelbench.toml'
        )
