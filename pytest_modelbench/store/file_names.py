"""Names of files and folders for texts of any kind."""

from __future__ import annotations

import hashlib
import re

LONGEST_NAME = 100


def file_name(text: str) -> str:
    """Return a name for a file or folder; long or unusual texts end with a hash, so that no two share one.

    >>> file_name("int8"), file_name("tests/test_sla.py::test_size[a b]")
    ('int8', 'tests-test_sla.py-test_size-a-b-379babc8')
    >>> file_name("..") == ".."
    False
    """
    name = re.sub(r"[^\w.-]+", "-", text).strip("-")
    plain = re.sub(r"::|/", "-", text)
    if name == plain and name.strip(".") and len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
