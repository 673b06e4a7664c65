"""How a failure ends a command: one line on standard error and an exit status."""

import os
import sys
import traceback

import typer

FAILED, WRONG_INPUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141
LONGEST_LINE = 1000


def report(error: BaseException, debug: bool = False) -> int:
    """Print what `error` means for the person at the terminal and return the exit status."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _say("interrupted", INTERRUPTED)
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        # The reader of our output has left (`| head`); without this Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    if _is_usage_error(error):
        return _say(_usage_line(error), WRONG_INPUT)
    if _is_input_error(error):
        return _say(str(error), WRONG_INPUT)
    if isinstance(status := getattr(error, "exit_status", None), int):  # it says all there is to say
        return _say(str(error), status)
    if debug:
        traceback.print_exception(error)
        return FAILED
    return _say(f"{_plain_line(error)} (add --debug for the traceback)", FAILED)


def _say(line: str, status: int) -> int:
    from dieshot.simulator.errors import one_line

    print(f"dieshot: {one_line(' '.join(line.split()), LONGEST_LINE)}", file=sys.stderr)
    return status


def _is_usage_error(error: BaseException) -> bool:
    # Typer keeps the class that all its usage errors share in a private module; these two attributes are its contract.
    return hasattr(error, "format_message") and getattr(error, "exit_code", None) == WRONG_INPUT


def _usage_line(error: BaseException) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message.rstrip('.')}; see '{context.command_path} --help'" if context is not None else message


def _is_input_error(error: BaseException) -> bool:
    from dieshot.simulator.errors import InputError
    from dieshot.traces.error import TraceError

    return isinstance(error, InputError | TraceError)


def _plain_line(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
