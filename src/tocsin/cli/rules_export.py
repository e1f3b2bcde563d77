"""`tocsin rules export`: rules for other tools, in Sigma alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.rules_options import ConfigFile, Paths, loaded_rules, paths_or_shipped
from tocsin.errors import Error
from tocsin.rules.tools.dump import yaml_of
from tocsin.rules.tools.export import Exported, export_sigma
from tocsin.rules.tools.losses import Loss
from tocsin.telemetry import visible

OURS = "# Written by `tocsin rules export --sigma`"


def export(
    paths: Paths = None,
    sigma: Annotated[
        bool, typer.Option("--sigma", help="Sigma without the tocsin: key; the only form there is.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write files of the same names there.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Rules in pure Sigma, for other tools.

    What Sigma cannot say is left out, and said: in each file, and in sum on standard error. A rule
    that counts becomes two: NAME.events finds, NAME counts. Replaces only files it wrote itself.

    Example: tocsin rules export --sigma rules/auth0 --out sigma/
    """
    if not sigma:
        raise typer.BadParameter("say which form: --sigma is the only one there is", param_hint="--sigma")
    exported = export_sigma(loaded_rules(paths, config))
    if out is None:
        typer.echo("---\n".join(_text(one) for one in exported), nl=False)
    else:
        _write(exported, out, paths_or_shipped(paths))
    _sum_up(exported)


def _text(exported: Exported) -> str:
    """The file: what it lacks as comments, then its documents."""
    told = [f"{OURS} from {_cleaned(Path(exported.file).name)}."]
    if exported.losses:
        told.append("# Sigma has no words for this, so it is not here:")
        told += [f"#   {_cleaned(loss.rule)}: tocsin.{loss.key}: {loss.what}" for loss in exported.losses]
    return "".join(f"{line}\n" for line in told) + yaml_of(exported.documents)


def _cleaned(text: str) -> str:
    """On one line: what stands in a comment must not end it."""
    return visible(" ".join(text.split()))


def _write(exported: Sequence[Exported], out: Path, roots: Sequence[Path]) -> None:
    """Write all files, or none where one of them would replace a file of somebody else.

    Raises:
        Error: it would, or two files would be one, or the folder cannot be written.
    """
    targets: dict[Path, Exported] = {}
    for one in exported:
        target = out / _relative(Path(one.file), roots)
        if target in targets:
            raise Error(f"{one.file} and {targets[target].file} would both be {target}; export them apart")
        targets[target] = one
    try:
        for target in targets:
            if target.exists() and not target.read_bytes().startswith(OURS.encode()):
                raise Error(f"{target} is there already, and not of this command; choose another --out")
        for target, one in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_text(one), encoding="utf-8")
    except OSError as exc:
        raise Error(f"{exc.filename or out}: cannot be written: {exc.strerror or exc}") from exc


def _relative(file: Path, roots: Sequence[Path]) -> Path:
    """Where the file stands below the folder that was asked for; its name, where it was itself."""
    within = [root for root in roots if file != root and file.is_relative_to(root)]
    return file.relative_to(within[0]) if within else Path(file.name)


def _sum_up(exported: Sequence[Exported]) -> None:
    lost = Counter(_kind(loss) for one in exported for loss in one.losses)
    count = f"{len(exported)} file{'' if len(exported) == 1 else 's'}"
    typer.echo(f"{count}; {'what Sigma cannot say:' if lost else 'Sigma says all of it'}", err=True)
    for (key, what), times in lost.most_common():
        typer.echo(f"  {times:>4}  tocsin.{key}: {what}", err=True)


def _kind(loss: Loss) -> tuple[str, str]:
    return loss.key, loss.what
