# Completion of semq(1) for bash.

# The tickets of the semaphores on the line.
_semq_tickets() {
    local word files=()
    for word in "${words[@]:2}"; do
        [[ $word != -* && -f $word ]] && files+=("$word")
    done
    [ ${#files[@]} -gt 0 ] || return
    semq status --json "${files[@]}" 2>/dev/null | grep -o '"ticket": [0-9]*' | grep -o '[0-9]*$'
}

_semq() {
    local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:0:COMP_CWORD}") options values
    local prev=${words[COMP_CWORD - 1]}
    COMPREPLY=()
    # --option=value comes as three words.
    if [ "$cur" = = ]; then cur=; elif [ "$prev" = = ]; then prev=${words[COMP_CWORD - 2]}; fi

    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "acquire status set release history doctor agent help --help --version" -- "$cur")
        return
    fi
    # Behind -- stands somebody else's command.
    local index
    for ((index = 2; index < COMP_CWORD; index++)); do
        [ "${COMP_WORDS[index]}" = -- ] || continue
        if declare -F _command_offset >/dev/null; then
            _command_offset $((index + 1))
        elif [ $((index + 1)) = "$COMP_CWORD" ]; then
            mapfile -t COMPREPLY < <(compgen -c -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        return
    done

    values=
    case ${words[1]} in
        acquire)
            options="--nonblock --nb --wait --timeout --conflict-exit-code --command --description --priority
                --concurrency --existing --any --all --any-filesystem --quiet --verbose --lease --on-lost
                --retry-connect --there --until --grace --rsh --no-bootstrap --help"
            values="-w --wait --timeout -E --conflict-exit-code -c --command -m --description --priority --concurrency
                --lease --retry-connect --grace"
            ;;
        status) options="--json --watch --rsh --no-bootstrap --help" ;;
        set)
            options="--concurrency --pause --resume --any-filesystem --rsh --no-bootstrap --help"
            values="--concurrency --pause"
            ;;
        release)
            options="--ticket --reason --grace --rsh --no-bootstrap --help"
            values="--ticket --reason --grace"
            ;;
        history) options="--json --rsh --no-bootstrap --help" ;;
        doctor) options="--rsh --no-bootstrap --help" ;;
        agent) options="--restrict --existing --help" ;;
        help)
            mapfile -t COMPREPLY < <(compgen -W "acquire status set release history doctor agent" -- "$cur")
            return
            ;;
        *) return ;;
    esac
    if [ "$prev" = --ticket ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_semq_tickets)" -- "$cur")
    elif [ "$prev" = --on-lost ]; then
        mapfile -t COMPREPLY < <(compgen -W "kill warn" -- "$cur")
    elif [ "$prev" = --until ]; then
        mapfile -t COMPREPLY < <(compgen -W "command session tree" -- "$cur")
    elif [ "$prev" = --rsh ]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    elif [ "$prev" = --restrict ]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    elif [[ " ${values//$'\n'/ } " == *" $prev "* ]]; then
        return
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames 2>/dev/null
    fi
}

complete -F _semq semq
