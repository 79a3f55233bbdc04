"""One exception for whatever a user can mend: every problem at once, one line each, no traceback."""


class InputError(Exception):
    """What is wrong with the input, as lines of the form "file or value: what is wrong; what to do".

    Args:
        problems: one line for each problem; all of them, not the first. They may quote names and values as given.
    """

    def __init__(self, problems: str | list[str]):
        given = [problems] if isinstance(problems, str) else problems
        self.problems = [printable(problem) for problem in given]
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple:
        return type(self), (self.problems,)

    def _render_traceback_(self) -> list[str]:
        """What Jupyter prints in place of a traceback."""
        return [f"error: {problem}" for problem in self.problems]


def raise_all(problems: list[str]) -> None:
    """Raise `InputError` if there are any problems."""
    if problems:
        raise InputError(problems)


def printable(text: str) -> str:
    """`text` with whatever is not seen as it is written in Python's escapes: `\\n`, `\\x1b`, `\\u202e`, `\\udce9`.

    Names of files and values may hold new lines, a terminal's commands, marks that turn the writing around, and bytes
    that are no text.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
