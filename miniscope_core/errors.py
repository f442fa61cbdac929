"""The errors of the project: every layer may import this module, and it imports nothing of ours.

Each leaf is a :class:`MiniscopeError` and a builtin, so that a caller can catch either. Messages say what,
where, got, expected and remedy, in one line: ``{what} at {where}: got {value}, expected {rule}. {remedy}``.
"""


class MiniscopeError(Exception):
    """Anything that this project refuses or fails to do, with a message for the person at the keyboard."""


# -- recordings -----------------------------------------------------------------------------------------
class RecordingError(MiniscopeError):
    """A recording folder is missing, unrecognised, incomplete or broken."""


class RecordingNotFoundError(RecordingError, FileNotFoundError):
    """A folder or a file of a recording is not there."""


class RecordingFormatError(RecordingError, ValueError):
    """No reader, or more than one, recognises the folder."""


class VideoError(RecordingError, ValueError):
    """A video file is empty, cut short, unreadable or of another size than its neighbours."""


class ClockError(RecordingError, ValueError):
    """The frame clock is missing, malformed, or does not agree with the decoded frames."""


class MetadataError(RecordingError, ValueError):
    """The acquisition program's metadata cannot be read or contradicts itself."""


# -- parameters, engines and their results --------------------------------------------------------------
class ParameterError(MiniscopeError, ValueError):
    """A parameter is unknown, out of bounds or contradicts another."""


class EngineError(MiniscopeError, RuntimeError):
    """An engine could not turn this recording into a result."""


class ResultError(MiniscopeError, ValueError):
    """A result folder is incomplete, damaged or of an unknown version."""


class CurationError(MiniscopeError, ValueError):
    """A decision cannot be made: its unit is not there, or is part of another one."""


class DraftError(MiniscopeError, RuntimeError):
    """A draft of a curation was changed elsewhere since it was looked at; nothing was lost."""


# -- database and store ---------------------------------------------------------------------------------
class EntityError(MiniscopeError, ValueError):
    """An entity's fields are not valid."""


class TableError(MiniscopeError, ValueError):
    """A CSV file of subjects or sessions cannot be read, or one of its rows is not valid."""


class NotFoundError(MiniscopeError, LookupError):
    """Nothing in the database has this natural key."""


class ConflictError(MiniscopeError, ValueError):
    """What is there already differs from what is given; nothing was overwritten."""


class DatabaseError(MiniscopeError, RuntimeError):
    """The database cannot be reached or has another schema than this version of the code."""


class StoreError(MiniscopeError, RuntimeError):
    """The object store cannot be reached, written or read."""


class ClaimError(MiniscopeError, RuntimeError):
    """Somebody else is computing this right now."""


# -- what is odd but not wrong --------------------------------------------------------------------------
class MiniscopeWarning(UserWarning):
    """Something is unusual and was recorded; the work goes on."""
