"""The exceptions that users see as one line."""

from __future__ import annotations

import errno
import re

FIXES = {
    ("ENOSPC", "EDQUOT"): "free some space, or write elsewhere",
    ("EFBIG",): "the disk does not allow files of that size; write elsewhere",
    ("EROFS",): "write elsewhere",
    ("EACCES", "EPERM"): "change its permissions, or use another place",
    ("ENOTDIR", "EEXIST"): "a file is where a folder must be; use another place",
    ("EISDIR",): "name a file",
    ("ENOENT",): "check the path",
    ("ENAMETOOLONG",): "use a shorter name",
    ("ELOOP",): "its links form a circle",
    ("EBUSY", "ETXTBSY"): "another program is using it",
    ("EPIPE",): "nobody is reading it any more",
    ("EMFILE", "ENFILE"): "raise the limit (ulimit -n), or use fewer workers",
}


class UserError(RuntimeError):
    """A mistake of the user's. Its text is one line: what is wrong, where, and how to fix it.

    The ``fastreid`` command prints the line without a traceback and exits with status 2.
    """

    def __str__(self) -> str:
        return Exception.__str__(self)  # a subclass may also be a KeyError, whose __str__ adds quotes


def explained(error: Exception, text: str) -> UserError:
    """A UserError with this text that is also of ``error``'s built-in class, so that handlers for that class catch it.

    It cannot be sent to another process, because pickle does not find its class.
    """
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    both: type[UserError] = type("UserError", (UserError, kind), {})
    return both(text)


def line_of(error: UserError) -> str:
    """The error's line; if it comes from a loader's worker, the traceback in front of it is removed."""
    *_, own = re.split(rf"^{re.escape(__name__)}\.\w+: ", str(error), flags=re.MULTILINE)
    return " ".join(own.split("\n")).strip()  # a file name can contain line breaks


class MissingFile(UserError, FileNotFoundError):
    """A missing file, where callers of fast-reid expect a FileNotFoundError."""


class UnreadableImage(UserError, OSError):
    """An image that cannot be read, where data sets of fast-reid expect an OSError."""


class Failure(RuntimeError):
    """A failure of a training or of one of several processes that is not the user's mistake. Its text is one line.

    The ``fastreid`` command prints the line and exits with status 1; the traceback is in the log of that process.
    """


def not_finite(image: object, model: object) -> UserError:
    """The error for features that cannot be compared.

    Args:
        image: the first image with such features, by its path or another name.
        model: the model's folder or file.
    """
    return UserError(
        f"{model} gives no usable features for {image} (NaN, infinite or all zero): its training has diverged or its "
        "file is damaged; use another checkpoint, or try without --half"
    )


def file_mistake(error: OSError) -> str:
    """The line for a file that cannot be read or written, or "" if the user cannot fix the error."""
    name = errno.errorcode.get(error.errno or 0)
    fix = next((fix for names, fix in FIXES.items() if name in names), "")
    return f"{error.filename or 'its output'}: {error.strerror}; {fix}" if fix else ""
