"""An extension of griffe: what docstrings have that its Google style and Markdown do not know."""

import re

from griffe import Extension

ROLE = re.compile(r":(?:class|func|meth|mod):(?=`)")
EXAMPLE = re.compile(r"(?:^>>> .*\n?)(?:^(?!\s*$).*\n?)*", re.MULTILINE)
SEVERAL = re.compile(r"^( +)((?:\w+, )+)(\w+): ", re.MULTILINE)


class Docstrings(Extension):
    """Drops Sphinx's roles, fences examples, and gives each of several names that share a line an entry."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring and not obj.is_alias:
            obj.docstring.value = re.sub("^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            text = EXAMPLE.sub(_fenced, ROLE.sub("", obj.docstring.value))
            obj.docstring.value = SEVERAL.sub(_entries, text)


def _fenced(found):
    return f"```pycon\n{found[0].rstrip()}\n```\n"


def _entries(found):
    indent, others, last = found.groups()
    return "".join(f"{indent}{name}: see ``{last}``.\n" for name in others.split(", ")[:-1]) + f"{indent}{last}: "
