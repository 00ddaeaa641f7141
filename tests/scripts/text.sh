seq 1 20 | awk '{ s += $1; if ($1 % 5 == 0) print NR, s }'
printf 'a 1\nb 2\na 3\n' | awk '{ t[$1] += $2 } END { for (k in t) print k, t[k] }' | sort
echo 'The quick brown fox' | sed -e 's/quick/slow/' -e 's/\(b[a-z]*\) \(f.*\)/\2 \1/' -e 'y/T/t/'
seq 1 10 | sed -n '3,5p;8{p;q}'
printf 'x=1\ny=2\n' > conf; sed -i 's/=\(.*\)/ = "\1"/' conf; cat conf
printf 'one two\nthree four\n' | cut -d' ' -f2; echo abc | rev
printf '3\n1\n2\n2\n' | sort -u | paste -sd, ; printf 'a\na\nb\n' | uniq -c
printf 'l1\nl2\nl3\n' > l; printf 'l1\nx2\nl3\n' > r; diff l r; cmp l r
echo hello | od -c; echo hello | hexdump -C; echo hello | base64; echo aGVsbG8K | base64 -d
grep -rn l2 . ; grep -c l l; grep -v l2 l; echo 'foo123' | grep -oE '[0-9]+'
expr 6 \* 7; echo '7 / 2' | bc 2>/dev/null; echo 'scale=3; 22/7' | bc
date -u -d @0 '+%Y-%m-%d %H:%M:%S'; cal 2 2024; fold -w 5 l; tac l; nl l; wc l; head -c 3 l; echo; tail -n 1 l
