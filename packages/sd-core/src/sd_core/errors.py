"""The one exception that is the user's to fix."""


class SdError(Exception):
    """A problem the user can mend: one sentence that names what to change.

    Commands print the sentence without a traceback and exit with code 2.
    Anything else that is raised is a bug of ours and keeps its traceback.
    """
