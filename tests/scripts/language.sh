fact() { if [ "$1" -le 1 ]; then echo 1; else echo $(( $1 * $(fact $(( $1 - 1 ))) )); fi; }
fact 10
i=0; while [ $i -lt 5 ]; do i=$((i + 1)); [ $i = 3 ] && continue; echo -n "$i "; done; echo
case abc in a*) echo starts with a;; *) echo no;; esac
set -- x "y z" w; for word; do echo "<$word>"; done; echo $#
name=world; echo "hello ${name%ld}d ${#name} ${missing:-default} ${name#w}"
IFS=:; read -r one two rest <<END
a:b:c:d
END
echo "$one $two $rest"; unset IFS
[ -d . ] && [ ! -e nothing ] && echo tests work
printf '%05d|%-6s|%x|%o\n' 42 left 255 8
echo 'echo script "$0" "$@"' > script; chmod +x script; sh ./script 1 2
printf '#!/bin/sh\necho run by its first line: $1\n' > direct; chmod +x direct; ./direct yes
eval 'echo evaluated'; type cd
echo *; mkdir d; touch d/a.txt d/b.txt d/c.log; echo d/*.txt
