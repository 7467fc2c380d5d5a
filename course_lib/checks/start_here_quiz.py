"""The five questions of lesson 00 that say where to start."""

from course_lib import settings
from course_lib.settings import CourseError

# question: (right answer, lesson that begins with it, what to think of when it was wrong)
KEY = {
    1: (
        "b",
        10,
        "the slope is 4, and a step goes against it: w minus rate times slope",
    ),
    2: ("a", 11, "a ReLU that is off lets nothing through, and no slope either"),
    3: ("d", 12, "every output channel has a 3x3 kernel for each input channel"),
    4: ("c", 13, "stride 2 in a transposed convolution doubles the sides"),
    5: ("b", 14, "in training mode, batch norm uses the mean and variance of the batch"),
}
THEN = 20  # for who knows all of it
UNTRAINED = "If you have never trained a network yourself, start at 10 all the same."


def where_to_start(answers: dict[int, str]) -> str:
    """Return which lesson to begin with, from letters a to d for questions 1 to 5.

    A question without an answer ("" or "?") counts as not known. Raises CourseError for another
    key or letter.
    """
    given = {number: _letter(number, answers.get(number, "")) for number in KEY}
    for number in set(answers) - set(KEY):
        raise CourseError(f"There is no question {number}; they are numbered from 1 to 5.")
    if not any(given.values()):
        return (
            "No answers yet. Put letters between the quotation marks and run the cell again. "
            "If the questions mean nothing to you: start at 10, everything is explained there."
        )
    missed = [number for number, (right, _, _) in KEY.items() if given[number] != right]
    lines = [f"{len(KEY) - len(missed)} of {len(KEY)} are right."]
    for number in missed:
        _, lesson, thought = KEY[number]
        blank = "no answer" if not given[number] else "not that"
        lines.append(f"  Question {number}: {blank}; {thought} (lesson {lesson}).")
    return "\n".join([*lines, _advice(missed)])


def _letter(number: int, answer) -> str:
    letter = str(answer or "").strip().lower().rstrip(".)")
    if letter in ("", "?"):
        return ""
    if letter not in ("a", "b", "c", "d"):
        raise CourseError(f"Question {number} has answers a, b, c and d, not {answer!r}.")
    return letter


def _advice(missed: list[int]) -> str:
    start = KEY[missed[0]][1] if missed else THEN
    if start == KEY[1][1]:
        return f"Start at {start}: it needs Python, the matrix product and the derivative."
    known = {11: "lesson 10", 12: "lessons 10 and 11", THEN: "lessons 10 to 15"}
    known = known.get(start, f"lessons 10 to {start - 1}")
    advice = f"Start at {start}. Of {known} you can read just the summary."
    if not _is_there(start):
        advice = f"Start at {start}: you know {known}. It is still to come; until then take 01, "
        advice += "then 14."
    return f"{advice} {UNTRAINED}" if missed else advice


def _is_there(lesson: int) -> bool:
    return any((settings.ROOT / "notebooks").glob(f"{lesson:02}_*.ipynb"))
