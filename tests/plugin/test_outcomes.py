"""What of an error the terminal shows: its text, and the user's own code if that is where it was caused."""

from __future__ import annotations

import pytest

from pytest_modelbench.errors import ModelError
from pytest_modelbench.plugin.outcomes import without_our_frames


@pytest.mark.parametrize(
    ("file", "is_shown"),
    [
        ("/usr/lib/python3/dist-packages/runtime.py", False),
        ("/home/ann/.local/lib/python3.11/site-packages/runtime/loader.py", False),
        ("/home/ann/shop/models.py", True),
    ],
)
def test_only_frames_of_the_user_are_shown(file: str, is_shown: bool) -> None:
    """A library is one wherever it is installed: of the system, of the user, or in another environment."""
    code = compile("def load():\n    raise ValueError('no buffer')\n", file, "exec")
    scope: dict[str, object] = {}
    exec(code, scope)  # noqa: S102 - a function of that file
    load = scope["load"]
    assert callable(load)
    with pytest.raises(ValueError, match="no buffer") as caught:
        load()
    error = ModelError("student: m.onnx cannot be loaded")
    error.__cause__ = caught.value.with_traceback(caught.tb.tb_next)  # without this test's frame, the user's too
    text = without_our_frames(error)
    assert text.startswith("student: m.onnx cannot be loaded")
    assert (f'File "{file}", line 2, in load' in text) is is_shown
    assert ("Traceback" in text) is is_shown
