"""The ``fastreid`` commands, one file each: its arguments, and the call that does the work.

Each module here is a command of the same name, unless its name starts with an underscore. It has

- ``SUMMARY``, its line in ``fastreid --help``,
- ``DESCRIPTION`` and ``EXAMPLES``, which come before and after the arguments in its own help,
- optionally ``parents()``: argparse parsers whose arguments it adopts,
- ``add_arguments(parser)``, and ``run(args)``, which imports what it needs when it is called.
"""
