"""What a file must not do to whoever loads it."""

ran = []


def run():
    ran.append("code")


class Dangerous:
    """Runs code when it is unpickled, which ``ran`` then shows."""

    def __reduce__(self):
        return run, ()
