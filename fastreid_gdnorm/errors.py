"""The exceptions that are one line to whoever sees them."""


class UserError(RuntimeError):
    """A mistake of the user's: its text is one line that says what, where and the fix.

    The ``fastreid`` command prints it without a traceback and exits with 2.
    """


class UnreadableImage(UserError, OSError):
    """An image that cannot be read: also an OSError, which data sets of fast-reid's users catch."""


class Failure(RuntimeError):
    """Something else than the user's mistake that ends several processes: its text is one line that says which and why.

    The ``fastreid`` command prints it without a traceback, which is in that process's log, and exits with 1.
    """
