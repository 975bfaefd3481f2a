"""An object that runs code when it is loaded."""

ran = []


def run():
    ran.append("code")


class Dangerous:
    """Runs code when it is unpickled, which ``ran`` then shows."""

    def __reduce__(self):
        return run, ()
