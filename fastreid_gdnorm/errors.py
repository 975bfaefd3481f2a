"""The one exception whose cause the user can remove."""


class UserError(RuntimeError):
    """A mistake of the user's: its text is one line that says what, where and the fix.

    The ``fastreid`` command prints it without a traceback and exits with 2.
    """
