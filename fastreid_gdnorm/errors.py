"""The exceptions that are one line to whoever sees them."""


class UserError(RuntimeError):
    """A mistake of the user's: its text is one line that says what, where and the fix.

    The ``fastreid`` command prints it without a traceback and exits with 2.
    """


class MissingFile(UserError, FileNotFoundError):
    """A file that is not there, where fast-reid raises a FileNotFoundError, which some callers catch."""


class UnreadableImage(UserError, OSError):
    """An image that cannot be read, where fast-reid raises an OSError, which some data sets catch."""


class Failure(RuntimeError):
    """Something else than the user's mistake that ends several processes: its text is one line that says which and why.

    The ``fastreid`` command prints it without a traceback, which is in that process's log, and exits with 1.
    """


def not_finite(image: object, model: object) -> UserError:
    """The mistake of taking features that are NaN or infinite.

    Args:
        image: the first image that has such features: its path, or what else names it.
        model: the model's folder or file.
    """
    return UserError(
        f"{model} gives no usable features for {image} (NaN, infinite or all zero): its training has diverged or its "
        "file is damaged; use another checkpoint, and with --half try without it"
    )
