# Completion of ssmctl for bash: verbs, options, jobs, machines. tests/lint checks it against the table
# of verbs in ctl/verbs.c.

# The jobs that `ssmctl jobs` lists, with the --root and whatever else narrows them.
_ssmctl_jobs() {
    ssmctl "${root[@]}" --json jobs "$@" 2>/dev/null |
        sed -n 's/.*"job":"\([A-Za-z0-9._-]*\)".*/\1/p'
}

_ssmctl_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_ssmctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local verb='' second='' root=() i
    local everywhere='--root --json --help --version'

    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --root)
            i=$((i + 1))
            root=(--root "${COMP_WORDS[i]}")
            ;;
        -*) ;;
        *)
            if [[ -z $verb ]]; then
                verb=${COMP_WORDS[i]}
            elif [[ -z $second ]]; then
                second=${COMP_WORDS[i]}
            fi
            ;;
        esac
    done

    case $prev in
    --root)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --state)
        _ssmctl_words 'received queued running rebooting stopping reporting done'
        return
        ;;
    --format)
        _ssmctl_words 'jsonl html'
        return
        ;;
    --key | -k | --root-key | --release-key | --timestamp-key | --trust)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --status)
        _ssmctl_words 'Active Inactive Deprecated'
        return
        ;;
    --limit | -n | --step | --param | -p | --to | --when-idle)
        return
        ;;
    esac

    if [[ $cur == -* ]]; then
        case $verb in
        jobs) _ssmctl_words "--all --state --limit $everywhere" ;;
        logs) _ssmctl_words "--follow --step --stdout --stderr $everywhere" ;;
        run) _ssmctl_words "--param --detach $everywhere" ;;
        update)
            _ssmctl_words "--to --check --dry-run --allow-downgrade --when-idle --force --detach $everywhere"
            ;;
        audit) _ssmctl_words "--format $everywhere" ;;
        release)
            local version='--status --rollout --not-before --minimum-source --days'
            case $second in
            root)
                _ssmctl_words "--root-key --release-key --timestamp-key --root-threshold --release-threshold \
                    --timestamp-threshold --days $everywhere"
                ;;
            add) _ssmctl_words "--version $version $everywhere" ;;
            set) _ssmctl_words "--floor --uri-format $version $everywhere" ;;
            sign) _ssmctl_words "--key $everywhere" ;;
            timestamp) _ssmctl_words "--key --days $everywhere" ;;
            verify) _ssmctl_words "--trust --at $everywhere" ;;
            *) _ssmctl_words "$everywhere" ;;
            esac
            ;;
        fsm) _ssmctl_words "--dot --mermaid $everywhere" ;;
        *) _ssmctl_words "$everywhere" ;;
        esac
        return
    fi

    case $verb in
    '') _ssmctl_words 'status jobs show logs cancel run update audit config node doctor release fsm help version' ;;
    show | logs) [[ -n $second ]] || _ssmctl_words "$(_ssmctl_jobs --all)" ;;
    cancel) [[ -n $second ]] || _ssmctl_words "$(_ssmctl_jobs)" ;;
    run) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    audit) [[ -n $second ]] || _ssmctl_words 'verify export' ;;
    config)
        if [[ -z $second ]]; then
            _ssmctl_words 'check keys'
        elif [[ $second == check ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        ;;
    release)
        if [[ -z $second ]]; then
            _ssmctl_words 'keygen root add set sign timestamp verify show'
        elif [[ $second == add || $second == keygen ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        fi
        ;;
    fsm) [[ -n $second ]] || _ssmctl_words "$(ssmctl fsm 2>/dev/null)" ;;
    help)
        case $second in
        '') _ssmctl_words 'status jobs show logs cancel run update audit config node doctor release fsm help version' ;;
        audit) _ssmctl_words 'verify export' ;;
        config) _ssmctl_words 'check keys' ;;
        release) _ssmctl_words 'keygen root add set sign timestamp verify show' ;;
        esac
        ;;
    esac
}

complete -o filenames -F _ssmctl ssmctl
