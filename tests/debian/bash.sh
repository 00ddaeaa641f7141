# What a script asks of bash: arrays, substitutions, jobs, traps, coprocesses, descriptors.
shopt -s extglob
declare -a list=(one "two words" three)
list+=(four)
declare -A map=([red]=1 [green]=2)
map[blue]=3
echo "${#list[@]} ${list[1]} ${list[@]:2:2} ${!map[*]}" "${map[blue]}"
unset 'list[0]'
echo "${!list[@]}"
mapfile -t lines < <(printf 'a\nb\nc\n')
echo "${lines[*]} ${#lines[@]}"
text=/usr/share/doc/readme.txt
echo "${text##*/} ${text%.*} ${text/doc/man} ${text^^} ${text:5:5} ${#text}"
[[ $text =~ ^/usr/(.*)/([a-z]+)\.txt$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
case foobar in foo@(bar|baz)) echo extended ;; esac
echo $((2 ** 40 + 0x10 - 7 % 3)) $((5 > 3 ? 10 : 20)) {1..5} {a..e..2}
printf -v padded '%05d|%-6s|%q' 42 left "a b"
echo "$padded"
printf '%(%Y-%m-%d)T\n' 86400

echo -- process substitution, here-documents, descriptors
diff <(printf '1\n2\n') <(printf '1\n3\n')
paste <(seq 3) <(seq 4 6) <(seq 7 9)
tee >(tr a-z A-Z > upper) > /dev/null <<< "here string"
wait $!
cat upper
cat <<-'END'
	indented $HOME
	END
exec 5<> file
echo "through five" >&5
exec 5>&-
read -r line < file
echo "$line"
exec {number}> other
echo "named" >&$number
exec {number}>&-
cat other
{ echo out; echo err >&2; } 2>&1 | sort
{ echo out; echo err >&2; } 2> /dev/null
echo "$(< file)"
ls /dev/fd/ | head -n 3
set -o noclobber
echo again 2> /dev/null > file || echo "noclobber status $?"
echo forced >| file
set +o noclobber

echo -- jobs
sleep 0.1 & sleep 0.2 &
wait
echo "both done $?"
(exit 3) &
wait $!
echo "status $?"
until wait -n; [ $? = 127 ]; do :; done # what is left of the process substitutions
for status in 5 6; do (sleep 0.0$status; exit $status) & done
wait -n; one=$?
wait -n; other=$?
echo "any: $((one + other))"
wait -n; echo "none left: $?"
set -m
sleep 100 &
jobs | sed 's/  */ /g'
kill -STOP %1
while ! jobs | grep -q Stopped; do sleep 0.01; done
jobs -l | grep -c Stopped
bg %1 > /dev/null
jobs | grep -c Running
{ kill %1; wait $!; } > /dev/null 2>&1
echo "killed: $?"
{ sh -c 'kill -9 $$'; } 2> /dev/null
echo "kill -9: $?"
(set -m; sleep 100 & [ "$(ps -o pgid= -p $! | tr -d ' ')" = $! ] && echo own group; kill $!)
set +m
coproc UPPER { while read -r word; do echo "${word^^}"; done; }
upper=$UPPER_PID # unset once it has ended
echo quiet >&"${UPPER[1]}"
read -r answer <&"${UPPER[0]}"
echo "$answer"
eval "exec ${UPPER[1]}>&-"
wait "$upper"
echo "coprocess $?"
{ sleep 100 & echo $! > pid; wait; } & keeper=$!
while [ ! -s pid ]; do sleep 0.01; done
kill "$(cat pid)"
wait $keeper
timeout 0.2 sleep 100
echo "timeout $?"
TIMEFORMAT=%R
{ time sleep 0.01; } 2>&1 | grep -c '^[0-9]*\.[0-9]*$'

echo -- traps
trap 'echo usr1' USR1
kill -USR1 $$
trap 'echo "error at line $LINENO"' ERR
false
trap - ERR
(trap 'echo leaving' EXIT; exit 4)
echo $?
bash -c 'trap "echo term; exit 7" TERM; kill $$; sleep 10'
echo $?
bash -c 'trap "" INT; kill -INT $$; echo ignored'
trap -p USR1
f() { trap 'echo returned' RETURN; }
f
trap 'echo winch' WINCH; kill -WINCH $$
read -t 0.1 nothing < <(sleep 20)
echo "read timed out: $(($? > 128))"
set -o pipefail
false | true
echo "pipefail $? ${PIPESTATUS[*]}"
yes | head -n 1 > /dev/null
echo "${PIPESTATUS[*]}"

echo -- limits, options, recursion
(ulimit -n 20; ulimit -n; ulimit -Sf 1; head -c 4096 /dev/zero > limited; echo $?; stat -c %s limited) 2> /dev/null
ulimit -a | grep -c .
umask 027; touch masked; stat -c %a masked
factorial() { if (($1 < 2)); then echo 1; else echo $(($1 * $(factorial $(($1 - 1))))); fi; }
factorial 10
deep() { (($1 == 0)) || deep $(($1 - 1)); }
deep 1000 && echo deep
set -u
(echo "$undefined_variable") 2> /dev/null || echo unbound
set +u
getopts ab: option -b value && echo "$option $OPTARG"
enable -n echo; type -t echo; enable echo
hash -r; type -t ls; command -v ls
echo $BASH_SUBSHELL $(echo $BASH_SUBSHELL) "$-" | sed 's/[^0-9 ].*//'
exec 9>&- 2>&1
[ -t 0 ] || echo "no terminal"
dirs; pushd / > /dev/null; popd > /dev/null
seq 20000 | while read -r n; do sum=$((sum + n)); [ "$n" = 20000 ] && echo "$sum"; done
