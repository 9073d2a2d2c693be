"""The one exception that means "the user's input is wrong"."""


class InputError(Exception):
    """Bad input from outside: a file, a flag, a config value.

    The message is one line that says what was found, where (file and line, or video), what was expected and
    how to mend it. main.py prints it and exits 1; any other exception is a bug and keeps its traceback.
    """
