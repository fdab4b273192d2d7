"""The text of the completion files. Values that change are asked of `gpualloc __complete`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpualloc.cli.completions import Completed, Option

_MADE = "# Made by `make completions`; do not edit.\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def bash(verbs: Sequence[Completed]) -> str:
    """For bash 4.4 and newer, without the bash-completion package."""
    root = verbs[0]
    cases = "".join(_bash_case(verb, root) for verb in verbs)
    groups = " | ".join(_quoted(verb.words[0]) for verb in verbs if verb.below and verb.words)
    takers = " | ".join(name for option in root.options if option.takes is not None for name in option.names)
    return f"""{_MADE}
_gpualloc_reply() {{
    mapfile -t COMPREPLY < <(compgen "$@" -- "$current")
}}

_gpualloc_ask() {{
    local value
    while IFS= read -r value; do
        [[ $value == "$current"* ]] && COMPREPLY+=("$(printf '%q' "$value")")
    done < <(gpualloc "${{world[@]}}" __complete "$1" 2>/dev/null)
}}

_gpualloc() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} verb='' done='' i
    local -a world=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            --) _gpualloc_reply -c; return ;;
            {takers})
                ((i + 1 < COMP_CWORD)) && world+=("${{COMP_WORDS[i]}}" "${{COMP_WORDS[i + 1]}}")
                ((i++))
                ;;
            -*) ;;
            *)
                if [[ -z $verb ]]; then
                    verb=${{COMP_WORDS[i]}}
                    case $verb in {groups}) ;; *) done=1 ;; esac
                elif [[ -z $done ]]; then
                    verb+=" ${{COMP_WORDS[i]}}" done=1
                fi
                ;;
        esac
    done
    case $previous in
{_bash_values(root.options)}    esac
    case $verb in
{cases}    esac
}}

complete -o bashdefault -F _gpualloc gpualloc
"""


def _bash_case(verb: Completed, root: Completed) -> str:
    own = [option for option in verb.options if option not in root.options]
    values = _bash_values(own, indent=12) if verb.words else ""
    asked = f"            case $previous in\n{values}            esac\n" if values else ""
    names = " ".join(name for option in verb.options for name in option.names)
    rest = _bash_reply("one of " + " ".join(verb.below)) if verb.below else _bash_reply(verb.arguments)
    return (
        f"        {_quoted(' '.join(verb.words))})\n{asked}"
        f"            if [[ $current == -* ]]; then _gpualloc_reply -W {_quoted(names)}\n"
        f"            else {rest}; fi\n            ;;\n"
    )


def _bash_values(options: Sequence[Option], indent: int = 4) -> str:
    """What completes the value of each option that takes one."""
    return "".join(
        f"{' ' * (indent + 4)}{' | '.join(option.names)}) {_bash_reply(option.takes)}; return ;;\n"
        for option in options
        if option.takes is not None
    )


def _bash_reply(takes: str | None) -> str:
    if takes == "file":
        return "compopt -o filenames; _gpualloc_reply -f"
    if takes == "dir":
        return "compopt -o filenames; _gpualloc_reply -d"
    if takes and takes.startswith("ask "):
        return f"_gpualloc_ask {takes[4:]}"
    if takes and takes.startswith("one of "):
        return f"_gpualloc_reply -W {_quoted(takes[7:])}"
    return ":"


def zsh(verbs: Sequence[Completed]) -> str:
    """For zsh, to be put on $fpath as `_gpualloc`."""
    listed = "".join(
        f"        {_quoted(_zsh_plain(verb.words[0]) + ':' + _zsh_plain(verb.help))}\n"
        for verb in verbs
        if len(verb.words) == 1
    )
    cases = "".join(_zsh_case(verb, verbs) for verb in verbs if len(verb.words) == 1)
    return f"""#compdef gpualloc
{_MADE}
_gpualloc_ask() {{
    local -a values
    values=("${{(@f)$(gpualloc __complete "$1" 2>/dev/null)}}")
    compadd -- ${{values:#}}
}}

_gpualloc() {{
    local curcontext="$curcontext" state line
    local -a verbs
    verbs=(
{listed}    )
    _arguments -C \\
{_zsh_options(verbs[0])}        '1: :->verb' \\
        '*:: :->rest'
    case $state in
        verb) _describe -t verbs 'gpualloc verb' verbs ;;
        rest)
            case $line[1] in
{cases}            esac
            ;;
    esac
}}

if [[ $funcstack[1] == _gpualloc ]]; then _gpualloc "$@"; else compdef _gpualloc gpualloc; fi
"""


def _zsh_case(verb: Completed, verbs: Sequence[Completed]) -> str:
    below = [other for other in verbs if len(other.words) == 2 and other.words[0] == verb.words[0]]
    options = {option.names: option for one in (verb, *below) for option in one.options}
    lines = "".join(_zsh_option(option) for option in options.values())
    what = "one of " + " ".join(verb.below) if verb.below else verb.arguments
    return (
        f"                {verb.words[0]})\n"
        f"                    _arguments \\\n{lines}                        '*: :{_zsh_action(what)}'\n"
        "                    ;;\n"
    )


def _zsh_options(verb: Completed) -> str:
    return "".join(_zsh_option(option, indent=8) for option in verb.options)


def _zsh_option(option: Option, indent: int = 24) -> str:
    about = _zsh_plain(option.help)
    value = "" if option.takes is None else f":value:{_zsh_action(option.takes)}"
    return "".join(f"{' ' * indent}{_quoted(f'*{name}[{about}]{value}')} \\\n" for name in option.names)


def _zsh_action(takes: str) -> str:
    if takes == "file":
        return "_files"
    if takes == "dir":
        return "_files -/"
    if takes.startswith("ask "):
        return f"{{_gpualloc_ask {takes[4:]}}}"
    return f"({takes[7:]})" if takes.startswith("one of ") else ""


def _zsh_plain(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace(":", ";")


def fish(verbs: Sequence[Completed]) -> str:
    """For fish 3 and newer."""
    lines = [_MADE, "complete -c gpualloc -f"]
    for verb in verbs:
        lines += _fish_verb(verb)
    return "\n".join(lines) + "\n"


def _fish_verb(verb: Completed) -> list[str]:
    if not verb.words:
        condition = "__fish_use_subcommand"
    else:
        condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in verb.words)
    start = f"complete -c gpualloc -n {_quoted(condition)}"
    lines = [f"{start} {_fish_option(option)}" for option in verb.options]
    if not verb.words:
        return lines
    lines.append(f"complete -c gpualloc -n {_quoted(_fish_above(verb))} -a {verb.words[-1]} -d {_quoted(verb.help)}")
    value = _fish_value(verb.arguments)
    return [*lines, f"{start} {value}"] if value else lines


def _fish_above(verb: Completed) -> str:
    if len(verb.words) == 1:
        return "__fish_use_subcommand"
    return f"__fish_seen_subcommand_from {verb.words[0]}; and not __fish_seen_subcommand_from {verb.words[1]}"


def _fish_option(option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    value = "" if option.takes is None else f" -r {_fish_value(option.takes)}".rstrip()
    return f"{names}{value} -d {_quoted(option.help)}"


def _fish_value(takes: str) -> str:
    if takes == "file":
        return "-F"
    if takes == "dir":
        return "-a '(__fish_complete_directories)'"
    if takes.startswith("ask "):
        return f"-a '(gpualloc __complete {takes[4:]} 2>/dev/null)'"
    return f"-a {_quoted(takes[7:])}" if takes.startswith("one of ") else ""
