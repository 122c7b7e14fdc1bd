#compdef sailor-plot
# zsh completion for sailor-plot, as of `sailor-plot completion zsh`
_sailor_plot() {
    local -a kinds output plans
    kinds=(
        'plans:the plans of sailor plan -o (the default)'
        'timeline:their schedules'
        'frontier:time against cost, all rows in one picture'
        'search:where the search spent its time'
        'measured:measured against predicted'
        'loss:the losses of a training run'
        'figures:the published comparison'
        'completion:print a script that completes command lines'
    )
    output=('(-o --output)'{-o,--output}'[picture to write\: .png, .pdf or .svg]:output:_files' '--help[show this help]')
    plans=(
        '--row[draw only pool row R]:row: '
        '--rank[draw the plan of rank K of each row]:rank: '
        '--frontier[draw point I of the frontier]:frontier: '
        '--max-rows[draw at most N rows]:max-rows: '
    )
    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        _describe kind kinds
        _files
        return
    fi
    local kind=$words[2]
    case $kind in
    plans|timeline|frontier|search|measured|loss|figures|completion)
        shift words
        (( CURRENT-- ))
        ;;
    *) kind=plans ;;
    esac
    case $kind in
    plans) _arguments $output $plans '--timeline[add the schedule of each plan]' '*:file:_files' ;;
    timeline) _arguments $output $plans '*:file:_files' ;;
    search)
        _arguments $output '--log[standard error of the same sailor plan]:log:_files' $plans[1] '*:file:_files'
        ;;
    loss) _arguments $output '--data[text on which the model was trained]:data:_files' '*:file:_files' ;;
    figures)
        _arguments '(-o --output)'{-o,--output}'[directory for the pictures]:output:_files -/' '--help[show this help]' \
            '--format[formats of the pictures]:format:(png pdf svg)' '--table[write all numbers, too]:table:_files' '*:file:_files'
        ;;
    completion) _arguments '1:shell:(bash zsh)' ;;
    *) _arguments $output '*:file:_files' ;;
    esac
}
if [ "$funcstack[1]" = _sailor-plot ]; then
    _sailor_plot "$@"
else # read with source
    compdef _sailor_plot sailor-plot
fi
