"""Generate and repair images with PyTorch: a course of executable lessons.

usage: python3 -m course_lib COMMAND [options]    (Windows: py -m course_lib ...)

  lab       open the lessons in JupyterLab: exercises to fill in, your work is kept
  test      run every test: the library, the checks, and each lesson in a quick profile
  doctor    check this computer and say what to do about each thing that is wrong
  data      list the data sets; fetch and verify the named ones
  bench     the leaderboard: train and measure every model on the same terms
  student   write the learner's edition of the lessons into a folder, for handing out
  build     make the notebooks from their sources in notebooks/src

COMMAND --help explains a command. The first use of any of them installs the pinned packages
into .venv, unless this Python has suitable ones already.

Settings are environment variables:
  COURSE_PROFILE   smoke, standard (default) or full: how long the lessons train
  COURSE_DEVICE    auto (default), cpu, cuda or mps
  COURSE_DATA      strokes (default), mnist or fashion-mnist: the digits that the lessons use
  COURSE_HOME      where .venv, work, data and caches go (default: the course's folder if it
                   can be written to, else image-course in your home folder)
"""

# This file must be readable for any Python 3, so that an old one gets one sentence.

import importlib
import os
import sys

OLDEST, NEWEST = (3, 11), (3, 14)

# command -> module of course_lib, function
COMMANDS = {
    "lab": ("commands", "lab"),
    "test": ("commands", "test"),
    "doctor": ("doctor", "main"),
    "data": ("datasets", "main"),
    "bench": ("bench", "main"),
    "student": ("lessons", "main_student"),
    "build": ("lessons", "main"),
}


def main(argv):
    """Run a command; return its exit status."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = "%d.%d" % sys.version_info[:2]
        sys.exit("The course needs Python 3.11, 3.12, 3.13 or 3.14; this one is %s." % found)
    for stream in sys.stdout, sys.stderr:
        stream.reconfigure(encoding="utf-8", errors="replace")
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(__doc__, end="")
        return 0
    if argv[0] not in COMMANDS:
        print("There is no command %r; there are %s." % (argv[0], ", ".join(COMMANDS)))
        return 2
    return run(argv[0], argv[1:])


def run(command, argv):
    """Run a command where its packages are, and turn what can go wrong into one sentence."""
    from course_lib import environment, settings

    module, function = COMMANDS[command]
    try:
        if command != "doctor":  # which looks at this Python, too
            environment.enter([command] + argv)
        return getattr(importlib.import_module("course_lib." + module), function)(argv)
    except settings.CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    if not __package__:  # started as `python3 some/where/course_lib`
        sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main(sys.argv[1:]))
