"""``python -m fastreid_gdnorm``: the ``fastreid`` command of this interpreter."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
