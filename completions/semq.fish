# Completion of semq(1) for fish.

function __semq_tickets
    set -l files
    for word in (commandline -opc)[3..]
        string match -q -- '-*' $word; and continue
        test -f $word; and set -a files $word
    end
    test (count $files) -gt 0; or return
    semq status --json $files 2>/dev/null | string match -rag '"ticket": ([0-9]+)'
end

function __semq_needs_command
    test (count (commandline -opc)) -eq 1
end

# Whether this is the command, and the cursor stands before --.
function __semq_in
    set -l words (commandline -opc)
    test (count $words) -gt 1; and contains -- $words[2] $argv; and not contains -- -- $words[3..]
end

complete -c semq -n __semq_needs_command -f -a acquire -d 'Take semaphores and run a command'
complete -c semq -n __semq_needs_command -f -a status -d 'Show holders and waiters'
complete -c semq -n __semq_needs_command -f -a set -d 'Change the concurrency, pause, resume'
complete -c semq -n __semq_needs_command -f -a release -d "End somebody's turn"
complete -c semq -n __semq_needs_command -f -a history -d 'What happened at a queue'
complete -c semq -n __semq_needs_command -f -a doctor -d "Find out why something doesn't work"
complete -c semq -n __semq_needs_command -f -a agent -d 'What a semq on another host talks to'
complete -c semq -n __semq_needs_command -f -a help -d 'Say more about a command'
complete -c semq -n __semq_needs_command -s V -l version -d 'Show the version'
complete -c semq -n __semq_needs_command -s h -l help -d 'Show the commands'
complete -c semq -n '__semq_in help' -f -a 'acquire status set release history doctor agent'

complete -c semq -n '__semq_in acquire' -s n -l nonblock -d "Don't wait"
complete -c semq -n '__semq_in acquire' -l nb -d "Don't wait"
complete -c semq -n '__semq_in acquire' -x -s w -l wait -d 'Wait no longer than these seconds'
complete -c semq -n '__semq_in acquire' -x -l timeout -d 'Wait no longer than these seconds'
complete -c semq -n '__semq_in acquire' -x -s E -l conflict-exit-code -d 'Exit with this instead of 75'
complete -c semq -n '__semq_in acquire' -x -s c -l command -d 'Run this with $SHELL -c'
complete -c semq -n '__semq_in acquire' -x -s m -l description -d 'Shown to those who wait'
complete -c semq -n '__semq_in acquire' -x -l priority -d 'Higher goes first'
complete -c semq -n '__semq_in acquire' -x -l concurrency -d 'Make the queue for so many holders'
complete -c semq -n '__semq_in acquire' -l existing -d "Don't make the queue"
complete -c semq -n '__semq_in acquire' -l any -d 'Of several, the first to be had'
complete -c semq -n '__semq_in acquire' -l all -d 'All of several'
complete -c semq -n '__semq_in acquire' -l any-filesystem -d 'Use a file system not known to keep locks'
complete -c semq -n '__semq_in acquire' -s q -l quiet -d 'Say nothing while waiting'
complete -c semq -n '__semq_in acquire' -s v -l verbose -d 'Say more'
complete -c semq -n '__semq_in acquire' -x -l lease -d 'Seconds for which it is kept when we are cut off'
complete -c semq -n '__semq_in acquire' -x -l on-lost -a 'kill warn' -d 'What to do when it is lost'
complete -c semq -n '__semq_in acquire' -x -l until -a 'command session tree' -d 'When the turn is over'
complete -c semq -n '__semq_in acquire' -x -l grace -d 'Seconds between SIGTERM and SIGKILL for what is left'
complete -c semq -n '__semq_in acquire' -x -l retry-connect -d 'Go on trying a host that is not reached'
complete -c semq -n '__semq_in acquire' -l there -d 'Run the command on that host'
complete -c semq -n '__semq_in acquire' -x -l rsh -a '(__fish_complete_command)' -d 'Reach another host by this'
complete -c semq -n '__semq_in acquire' -l no-bootstrap -d "Don't put semq onto a host that has none"
complete -c semq -n '__semq_in acquire' -s h -l help -d 'Show the options'

complete -c semq -n '__semq_in status' -l json -d 'One JSON object a line'
complete -c semq -n '__semq_in status' -l watch -d 'Go on'
complete -c semq -n '__semq_in status' -x -l rsh -a '(__fish_complete_command)' -d 'Reach another host by this'
complete -c semq -n '__semq_in status' -l no-bootstrap -d "Don't put semq onto a host that has none"
complete -c semq -n '__semq_in status' -s h -l help -d 'Show the options'

complete -c semq -n '__semq_in set' -x -l concurrency -d 'So many may hold at a time'
complete -c semq -n '__semq_in set' -x -l pause -d 'Grant nobody, for this reason'
complete -c semq -n '__semq_in set' -l resume -d 'Grant again'
complete -c semq -n '__semq_in set' -l any-filesystem -d 'Use a file system not known to keep locks'
complete -c semq -n '__semq_in set' -x -l rsh -a '(__fish_complete_command)' -d 'Reach another host by this'
complete -c semq -n '__semq_in set' -l no-bootstrap -d "Don't put semq onto a host that has none"
complete -c semq -n '__semq_in set' -s h -l help -d 'Show the options'

complete -c semq -n '__semq_in release' -x -l ticket -a '(__semq_tickets)' -d 'Whose turn'
complete -c semq -n '__semq_in release' -x -l reason -d 'Shown to whoever loses the turn'
complete -c semq -n '__semq_in release' -x -l grace -d 'Seconds between SIGTERM and SIGKILL'
complete -c semq -n '__semq_in release' -x -l rsh -a '(__fish_complete_command)' -d 'Reach another host by this'
complete -c semq -n '__semq_in release' -l no-bootstrap -d "Don't put semq onto a host that has none"
complete -c semq -n '__semq_in release' -s h -l help -d 'Show the options'

complete -c semq -n '__semq_in history' -l json -d 'One JSON object a line'
complete -c semq -n '__semq_in history' -x -l rsh -a '(__fish_complete_command)' -d 'Reach another host by this'
complete -c semq -n '__semq_in history' -l no-bootstrap -d "Don't put semq onto a host that has none"
complete -c semq -n '__semq_in history' -s h -l help -d 'Show the options'

complete -c semq -n '__semq_in doctor' -x -l rsh -a '(__fish_complete_command)' -d 'Reach another host by this'
complete -c semq -n '__semq_in doctor' -l no-bootstrap -d "Don't put semq onto a host that has none"
complete -c semq -n '__semq_in doctor' -s h -l help -d 'Show the options'

complete -c semq -n '__semq_in agent' -x -l restrict -a '(__fish_complete_directories)' -d 'Only take turns below this folder'
complete -c semq -n '__semq_in agent' -l existing -d "Don't make queues there"
complete -c semq -n '__semq_in agent' -s h -l help -d 'Show the options'
