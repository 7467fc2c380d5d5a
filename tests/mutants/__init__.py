"""Deliberate mistakes: each check must fail on every one of its family, with the right words.

A mutant replaces `old`, which occurs exactly once in course_lib/built/<topic>.py, with `new`.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake: `row` of the bug catalogue (or a name), object, replacement, words expected."""

    row: str
    name: str
    old: str
    new: str
    words: str
