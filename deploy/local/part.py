"""Becomes a part of the stack: `python -m deploy.local.part SECONDS FOLDER COMMAND ...`, started by supervisord.

To supervisord a part is its first process. Where that alone dies, as the shell before an Erlang node may, the others
live on and hold the ports and files that the next start needs. So they are ended here, before the command takes this
process's place; they get so many seconds between SIGTERM and SIGKILL.
"""

import os
import sys

import psutil

from deploy.local.processes import PART, STACK, end, of_stack


def main() -> None:
    """End what is left of the part's earlier life, and run its command in its folder."""
    seconds, folder, *command = sys.argv[1:]
    stack, name = os.environ[STACK], os.environ[PART]

    def left() -> list[psutil.Process]:
        return [process for process in of_stack(stack, name) if process.pid != os.getpid()]

    if processes := left():
        pids = ", ".join(str(process.pid) for process in processes)
        print(f"{name}: its first process has died, the others ({pids}) are ended before it starts anew", flush=True)
        end(left, float(seconds))
    os.chdir(folder)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
