"""The one kind of error that is shown to a person without a traceback."""


class UserError(Exception):
    """An error that a person can mend: one line that says what is wrong, where, and what to do.

    `code` is the exit status; a command that has more than one way to fail documents them.
    """

    code = 1
