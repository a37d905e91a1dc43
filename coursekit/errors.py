"""The errors that a user can meet: one line each, saying what, where and what to do."""


class CoursekitError(Exception):
    """Base of all; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(CoursekitError):
    """A name or an option that does not exist."""

    exit_code = 2


class DataError(CoursekitError):
    """Data that is missing, damaged or of the wrong shape."""

    exit_code = 3


class NotebookError(CoursekitError):
    """A notebook that did not run to its end, or could not be exported."""

    exit_code = 4


class StorageError(CoursekitError):
    """A file that could not be written or read."""

    exit_code = 5


class Diverged(CoursekitError):
    """A loss that is no longer a finite number."""

    exit_code = 6


class SweepError(CoursekitError):
    """Runs of a sweep that have no result."""

    exit_code = 6


class NotStored(CoursekitError):
    """A run of the full protocol that nobody has made yet, on a machine that would take days for it."""

    exit_code = 4
