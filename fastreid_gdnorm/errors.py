"""The exceptions that are one line to whoever sees them."""

from __future__ import annotations

import errno
import re

FIXES = {
    ("ENOSPC", "EDQUOT"): "free some space, or write elsewhere",
    ("EFBIG",): "files of that size are not allowed there, write elsewhere",
    ("EROFS",): "write elsewhere",
    ("EACCES", "EPERM"): "change its permissions, or use another place",
    ("ENOTDIR", "EEXIST"): "a file is where a folder must be, use another place",
    ("EISDIR",): "name a file",
    ("ENOENT",): "check the path",
    ("ENAMETOOLONG",): "use a shorter name",
    ("ELOOP",): "its links lead in a circle",
    ("EBUSY", "ETXTBSY"): "another program uses it",
    ("EPIPE",): "nobody reads it any more",
    ("EMFILE", "ENFILE"): "raise the limit (ulimit -n), or use fewer workers",
}


class UserError(RuntimeError):
    """A mistake of the user's: its text is one line that says what, where and the fix.

    The ``fastreid`` command prints it without a traceback and exits with 2.
    """

    def __str__(self) -> str:
        return Exception.__str__(self)  # also where it is a KeyError, which quotes its text


def explained(error: Exception, text: str) -> UserError:
    """A UserError with that text, which whoever catches errors of ``error``'s built-in class catches too.

    It cannot be sent to another process.
    """
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return type("UserError", (UserError, kind), {})(text)


def line_of(error: UserError) -> str:
    """Its one line; from a loader's worker process it comes with a traceback, which names the class before it."""
    *_, own = re.split(rf"^{re.escape(__name__)}\.\w+: ", str(error), flags=re.MULTILINE)
    return " ".join(own.split("\n")).strip()  # a file's name may have several lines


class MissingFile(UserError, FileNotFoundError):
    """A file that is not there, where fast-reid raises a FileNotFoundError, which some callers catch."""


class UnreadableImage(UserError, OSError):
    """An image that cannot be read, where fast-reid raises an OSError, which some data sets catch."""


class Failure(RuntimeError):
    """Something else than the user's mistake that ends a training or several processes: its text is one line of why.

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


def file_mistake(error: OSError) -> str:
    """The line for a file that cannot be read or written, or "" if the error is not of the user's making."""
    name = errno.errorcode.get(error.errno or 0)
    fix = next((fix for names, fix in FIXES.items() if name in names), "")
    return f"{error.filename or 'its output'}: {error.strerror}; {fix}" if fix else ""
