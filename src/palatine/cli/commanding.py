"""How typer is bent to our needs.

Global options before and after the command's name, and help with examples and exit codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from keyword import iskeyword
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from palatine.cli.failures import MEANINGS, USAGE
from palatine.cli.invocation import Invocation

GLOBAL = "Global options"
ALWAYS = dict.fromkeys((0, 1, 2, 130), "")
"""Exit codes of every command."""


def global_options() -> list[TyperOption]:
    """Return the options that every command takes, on either side of its name."""
    return [
        _option(
            ["--repo"],
            "The repository or its URL; else $PALATINE_REPO, else the one in your data directory.",
            metavar="DIRECTORY",
        ),
        _option(["--json"], "Print one JSON object on stdout, errors as JSON on stderr."),
        _option(["--json-lines"], "The same, with an event per line for progress before it."),
        _option(["--quiet", "-q"], "Print data, notes and errors only."),
        _option(["--verbose", "-v"], "Say more."),
    ]


class Command(TyperCommand):
    """A command with the global options; `examples` and `codes` come with its help."""

    examples: Sequence[str] = ()
    codes: Mapping[int, str] = ALWAYS

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += global_options()

    def invoke(self, ctx: Any) -> Any:
        """Run it, its name known to the output."""
        ctx.find_object(Invocation).command = self.name
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage with REV instead of typer's {REV}."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the command's own options, then the global ones."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write examples and exit codes."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl(
                [(str(code), told or MEANINGS[code]) for code, told in sorted(self.codes.items())]
            )


class Group(TyperGroup):
    """`pal` itself."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += [*global_options(), _version_option()]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands first: they are what one looks for."""
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)


def made(names: Iterable[str]) -> TyperGroup:
    """Return the command `pal` with the commands of these names."""
    app = typer.Typer(
        name="pal",
        cls=Group,
        rich_markup_mode=None,
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def pal(context: typer.Context) -> None:
        """Keep snapshots of AI agents' memory.

        A palace is the directory, or the one database, in which an agent's memory lives. palatine
        keeps what it was at many moments, and stores only what changed between them.
        """
        if context.invoked_subcommand is None:
            typer.echo(context.get_help(), err=True)
            raise typer.Exit(USAGE)

    for name in names:
        module = f"{name}_" if iskeyword(name) else name
        register(app, import_module(f"palatine.cli.commands.{module}"))
    found = get_command(app)
    assert isinstance(found, Group)
    return found


def register(app: typer.Typer, module: ModuleType) -> None:
    """Add the command of a module to `pal`."""
    name = module.__name__.rpartition(".")[2]
    function: Callable[..., None] = getattr(module, name)
    facts = {
        "examples": tuple(module.EXAMPLES),
        "codes": {**ALWAYS, **module.EXIT_CODES},
    }
    name = name.rstrip("_")  # of a module that is called like a keyword
    app.command(name, cls=type(f"{name.title()}Command", (Command,), facts))(function)


def _option(names: list[str], help: str, metavar: str | None = None) -> TyperOption:
    flag = metavar is None
    return TyperOption(
        param_decls=names, help=help, metavar=metavar, is_flag=flag or None,
        default=False if flag else None, expose_value=False, is_eager=True, callback=_keep,
        rich_help_panel=GLOBAL,
    )  # fmt: skip


def _keep(ctx: Any, param: Any, value: Any) -> Any:
    invocation = ctx.find_object(Invocation)
    if value and invocation is not None:
        setattr(invocation.options, param.name, value)
    return value


def _version_option() -> TyperOption:
    return TyperOption(
        param_decls=["--version"], help="Print the version and exit.", is_flag=True, default=False,
        expose_value=False, is_eager=False, callback=_print_version, rich_help_panel=GLOBAL,
    )  # fmt: skip


def _print_version(ctx: Any, param: Any, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from palatine import __version__

    invocation = ctx.find_object(Invocation)
    invocation.command = "version"
    if invocation.output.json:
        invocation.output.result({"version": __version__})
    else:
        invocation.output.line(f"palatine {__version__}")
    raise typer.Exit(0)


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], GLOBAL: []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            kind = "Arguments" if param.param_type_name == "argument" else "Options"
            panel = getattr(param, "rich_help_panel", None)
            sections[GLOBAL if panel == GLOBAL else kind].append(record)
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
