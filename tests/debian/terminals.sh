# Programs that fill a terminal, and login and su that ask at one: typed and looked at by way of tmux.
export LC_ALL=C.UTF-8 SHELL=/bin/bash
terminal() { tmux -f /dev/null "$@"; }
screen() { terminal capture-pane -p -t s | sed 's/ *$//' | cat -s; }
keys() { terminal send-keys -t s "$@"; }
await() { for _ in {1..600}; do screen | grep -q -e "$1" && return; sleep 0.1; done; echo "never came: $1"; screen; }
gone() { for _ in {1..600}; do screen | grep -q -e "$1" || return; sleep 0.1; done; echo "never went: $1"; screen; }
terminal new-session -d -s s -n first -x 80 -y 24 'PS1="ready\$ " exec bash --norc --noprofile'
await 'ready\$'
keys 'tty | cut -c1-9; stty size; echo $TERM; stty -a | grep -o "speed [0-9]* baud"' Enter; await baud; screen

echo -- vim
seq -f 'line %g' 100 > text
keys 'clear; vim -u NONE -N text' Enter; await '"text"'; screen
keys 'dd' 'G' 'o' 'added by vim' Escape '50Gdw' ':%s/line 9/LINE 9/' Enter; await substitutions; screen
keys '/77' Enter; await '77'; keys 'yyp' 'u' ':split' Enter; await 'text.*\n*' ; keys ':wq' Enter ':q' Enter; gone 'line 77'; await 'ready\$'
md5sum < text; tail -n 2 text; ls -A | tr '\n' ' '; echo

echo -- less, top
keys 'clear; less text' Enter; await 'line 5$'; keys Space; await 'line 30'; keys '/added' Enter; await 'added by vim'; screen | tail -n 2; keys q; await 'ready\$'
keys 'clear; top -d 1' Enter; await '%Cpu'; await 'PID USER'; keys h; await 'Help for Interactive'; keys q; await 'PID USER'; keys q; await 'ready\$'; echo top ended

echo -- windows
terminal split-window -t s -v 'cat'; terminal send-keys -t s.1 'typed' Enter; until terminal capture-pane -p -t s.1 | grep -q typed; do sleep 0.05; done
terminal list-panes -t s -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_current_command}'
terminal resize-pane -t s.0 -y 5; terminal select-pane -t s.0; keys 'clear; stty size' Enter; await '[0-9]* 80'; terminal capture-pane -p -t s.1 | head -n 2; terminal kill-pane -t s.1
keys 'clear; until [ "$(stty size)" = "24 80" ]; do sleep 0.05; done; echo whole again' Enter; await '^whole again'; screen
terminal new-window -t s: -n second 'tail -f text'; terminal list-windows -F '#W #{window_panes}'; terminal kill-window -t s:second

echo -- keys that are signals
keys 'clear; sleep 1000' Enter; until pgrep -x sleep > /dev/null; do sleep 0.05; done; keys C-c; await '\^C'; keys 'echo $?' Enter; await 130; screen
keys 'clear; cat' Enter; until pgrep -x cat > /dev/null; do sleep 0.05; done; keys C-z; await Stopped; keys 'jobs; fg' Enter; await '^cat$'; keys 'again' Enter; await '^again$'; keys C-d; await 'ready\$ *$'; screen

echo -- login, su
sed -i 's/^LOGIN_TIMEOUT.*/LOGIN_TIMEOUT 3000/' /etc/login.defs # a machine may be slow
useradd -m -s /bin/bash tester; printf 'tester:secret\nroot:top\n' | chpasswd; echo 'PS1="\u \w> "' > ~tester/.bashrc; touch ~tester/.hushlogin
keys 'clear; login' Enter; await 'login:'; keys 'tester' Enter; await Password; keys wrong Enter; await incorrect; screen | sed '/^$/d'
await 'login: *$'; keys 'tester' Enter; await 'login: tester'; gone 'login: *$'; for _ in {1..600}; do [ "$(screen | grep -c Password)" = 2 ] && break; sleep 0.1; done; keys secret Enter; await 'tester ~>'
keys 'clear; id; echo $HOME $LOGNAME $SHELL; tty | cut -c1-9; ps -o tty= -p $$ | cut -c1-4; ls /root; stat -c "%U %a" $(tty)' Enter; await '^tester [0-9]*$'; screen
keys 'clear; su -c "id -un" ' Enter; await Password; keys wrong Enter; await failure; screen
keys 'clear; su -c "id -un; cat /etc/shadow | wc -l; tty | cut -c1-9"' Enter; await Password; keys top Enter; await '/dev/'; screen | sed 's/^[0-9][0-9]$/NN/'
keys 'exit' Enter; await 'ready\$'; keys 'clear; su - tester' Enter; until [ "$(screen | sed '/^$/d')" = 'tester ~>' ]; do sleep 0.1; done; keys 'logout' Enter; await logout; await 'ready\$ *$'; screen
terminal kill-server; echo $?

echo -- script
script -q -c 'stty size; tty | cut -c1-9; sh -c "kill -INT \$\$"; echo not here' typescript < /dev/null | tr -d '\r'; script -q -e -c 'exit 9' -T timing /dev/null < /dev/null; echo $?; grep -c . timing
printf 'echo one\nexit 5\n' | script -q -e -c 'PS1= sh' log > /dev/null; echo $?; tr -d '\r' < log | sed '/^Script/d'
