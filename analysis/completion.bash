# bash completion for sailor-plot, as of `sailor-plot completion bash`
_sailor_plot() {
    local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} kind=${COMP_WORDS[1]}
    local words='' files='' word IFS=$' \t\n'
    COMPREPLY=()
    if [ "$cur" = = ]; then cur=''; fi # --option=value is three words
    if [ "$option" = = ]; then option=${COMP_WORDS[COMP_CWORD - 2]}; fi
    case "$COMP_CWORD $kind" in
    1\ *) kind=plans ;;
    *\ plans | *\ timeline | *\ frontier | *\ search | *\ measured | *\ loss | *\ figures | *\ completion) ;;
    *) kind=plans ;;
    esac
    case "$kind $option" in
    completion\ *) if ((COMP_CWORD == 2)); then words="bash zsh"; fi ;;
    *\ --row | *\ --rank | *\ --max-rows | plans\ --frontier | timeline\ --frontier) return ;;
    *\ --output | *\ -o | search\ --log | loss\ --data | figures\ --table) files=1 ;;
    figures\ --format) words="png pdf svg" ;;
    *)
        case "$kind $cur" in
        plans\ -*) words="--output --row --rank --frontier --max-rows --timeline --help" ;;
        timeline\ -*) words="--output --row --rank --frontier --max-rows --help" ;;
        search\ -*) words="--output --log --row --help" ;;
        loss\ -*) words="--output --data --help" ;;
        figures\ -*) words="--output --format --table --help" ;;
        *\ -*) words="--output --help" ;;
        *)
            files=1
            if ((COMP_CWORD == 1)); then words="plans timeline frontier search measured loss figures completion"; fi
            ;;
        esac
        ;;
    esac
    while read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$words" -- "$cur")
    if [ -n "$files" ]; then
        compopt -o filenames 2>/dev/null
        while read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
    fi
}
complete -F _sailor_plot sailor-plot
