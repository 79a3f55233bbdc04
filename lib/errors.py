"""One exception for whatever a user can mend: every problem at once, one line each, no traceback."""


class InputError(Exception):
    """What is wrong with the input, as lines of the form "file or value: what is wrong; what to do".

    Args:
        problems: one line for each problem; all of them, not the first.
    """

    def __init__(self, problems: str | list[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def _render_traceback_(self) -> list[str]:
        """What Jupyter prints in place of a traceback."""
        return [f"error: {problem}" for problem in self.problems]


def raise_all(problems: list[str]) -> None:
    """Raise `InputError` if there are any problems."""
    if problems:
        raise InputError(problems)
