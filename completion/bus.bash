# SPDX-License-Identifier: MIT
# Bash completion for bus(1). Commands and options are read from the help pages, so this never falls behind them.

_bus_commands()
{
    bus --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]\{1,\}\( [a-z]\{1,\}\)\{0,1\}\)  .*/\1/p'
}

_bus_options()
{
    bus "$@" --help 2>/dev/null | sed -n 's/^  \(-., \|    \)\(--[a-z-]\{1,\}\).*/\2/p'
}

_bus()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} first=${COMP_WORDS[1]} second=${COMP_WORDS[2]}
    local words
    COMPREPLY=()
    case $prev in
    --output|-o) COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    --group-by|-g) COMPREPLY=($(compgen -W 'service type error topic service,type,error' -- "$cur")); return ;;
    --state) COMPREPLY=($(compgen -W 'open redriven resolved discarded all' -- "$cur")); return ;;
    --json) COMPREPLY=($(compgen -W 'plain avro' -- "$cur")); return ;;
    --framing) COMPREPLY=($(compgen -W 'single-object confluent' -- "$cur")); return ;;
    --compatibility) COMPREPLY=($(compgen -W 'none backward forward full backward-transitive forward-transitive full-transitive' -- "$cur")); return ;;
    --config|--schema|--against|--file|--program|--address-file|--into|--invariants) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "$(_bus_commands | cut -d' ' -f1 | sort -u) help --help --version" -- "$cur"))
        return
    fi
    words=$(_bus_commands | sed -n "s/^$first //p")
    if [ -n "$words" ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            COMPREPLY=($(compgen -W "$words" -- "$cur"))
            return
        fi
        first="$first $second"
    fi
    case $cur in
    -*) COMPREPLY=($(compgen -W "$(_bus_options $first)" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}
complete -o filenames -F _bus bus
