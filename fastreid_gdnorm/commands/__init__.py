"""The ``fastreid`` commands, a file for each: its arguments, and the call that does the work.

A command is a module here; its name is the command's. It has

- ``SUMMARY``, its line in ``fastreid --help``,
- ``DESCRIPTION`` and ``EXAMPLES``, before and after the arguments in its own help,
- ``parents()``, if any: parsers whose arguments it takes over,
- ``add_arguments(parser)``, and ``run(args)``, which imports what it needs when it is called.

Modules whose names begin with an underscore are no commands.
"""
