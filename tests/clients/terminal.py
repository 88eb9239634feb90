"""Runs commands of openstackclient and cinderclient as a terminal would, without starting Python for each command.

A worker process imports one of the clients. For every command it forks a child, which has a fresh copy of all global
state and calls the same function as the installed program. `Terminal` manages the workers. `Terminal.real` runs the
installed program itself, which takes several times as long.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

PATIENCE = 60  # seconds that one command may take


@dataclasses.dataclass
class Done:
    """The result of a command."""

    code: int
    output: str
    errors: str

    def json(self):
        if self.code != 0:
            raise RuntimeError(f"the command failed with {self.code}: {self.errors.strip()} {self.output.strip()}")
        return json.loads(self.output)

    def rows(self):
        """Returns the rows of a printed table, each as a dictionary."""
        if self.code != 0:
            raise RuntimeError(f"the command failed with {self.code}: {self.errors.strip()} {self.output.strip()}")
        lines = [line for line in self.output.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        if not cells:
            return []
        return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]

    def properties(self):
        """Returns a table of names and values as one dictionary. A long value continues in rows without a name."""
        found = {}
        name = None
        for row in self.rows():
            first, second = row.values()
            if first:
                name = first
                found[name] = second
            else:
                found[name] += f"\n{second}"
        return found


def environment_of_command(variables):
    """Returns the environment of a command, without variables of this process that the clients read."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    # A wide terminal, so that tables are not truncated.
    return inherited | {"COLUMNS": "1000", "PYTHONWARNINGS": "ignore"} | variables


class Terminal:
    def __init__(self):
        # One for each client, since both configure the logging of the whole process when they are imported.
        self.workers = {
            program: subprocess.Popen(
                [sys.executable, __file__, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for program in ("openstack", "cinder")
        }

    def run(self, program, arguments, variables):
        worker = self.workers[program]
        order = {"arguments": arguments, "environment": environment_of_command(variables)}
        worker.stdin.write(json.dumps(order) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker that runs {program} has ended")
        return Done(**json.loads(answer))

    @staticmethod
    def real(program, arguments, variables):
        path = pathlib.Path(sys.executable).with_name(program)
        environment = environment_of_command(variables)
        done = subprocess.run(
            [path, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def stop(self):
        for worker in self.workers.values():
            worker.stdin.close()
            worker.wait(PATIENCE)
            worker.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def main_of(program):
    if program == "cinder":
        import cinderclient.shell

        return cinderclient.shell.main
    # openstackclient imports these on demand, which would happen in every child.
    import openstack.block_storage.v3._proxy
    import openstack.identity.v3._proxy
    import openstackclient.shell

    return openstackclient.shell.main


def work(program):
    main = main_of(program)
    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            child = os.fork()
            if child == 0:
                run_in_child(program, main, order, output, errors)
            _, status = os.waitpid(child, 0)
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "output": texts[0], "errors": texts[1]}), flush=True)


def run_in_child(program, main, order, output, errors):
    """Runs a command and exits, with the exit code that the installed program would give. Never returns."""
    code = 1
    try:
        signal.alarm(PATIENCE)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv = [program, *order["arguments"]]
        try:
            sys.exit(main())
        except SystemExit as exit_:
            if isinstance(exit_.code, str):
                print(exit_.code, file=sys.stderr)
            elif exit_.code is None:
                code = 0
            else:
                code = exit_.code
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    work(sys.argv[1])
