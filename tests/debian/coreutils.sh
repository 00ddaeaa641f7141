# Coreutils, findutils, tar, gzip, sed, grep, awk's like: on files of this folder.
export LC_ALL=C TZ=UTC
mkdir -p tree/{a,b/c} && seq 1000 > tree/numbers && ln -s numbers tree/link && ln tree/numbers tree/hard
touch -d '2020-01-02 03:04:05.678' tree/old
ls -la --time-style=long-iso tree | sed 's/^\(.\{10\}\) *\([0-9]*\)/\1 \2/' | awk '{print $1, $2, $3, $4, $8}' | grep -v '^total'
ls -R tree; ls --color=always tree | cat -v
stat -c '%n %F %s %a %h %U:%G' tree/old tree/link tree/numbers; stat -c %Y tree/old
stat -L -c '%F' tree/link
cp -a tree copy && diff -r tree copy && stat -c '%h %y' copy/old; [ tree/numbers -nt copy/numbers ] || stat -c %h copy/numbers
cp --reflink=auto tree/numbers reflinked && cmp tree/numbers reflinked && echo same
cp --sparse=always <(head -c 100000 /dev/zero) sparse; stat -c '%s' sparse
dd if=/dev/zero of=hole bs=1 count=0 seek=1M status=none; stat -c '%s %b' hole; du -k --apparent-size hole
mv -n tree/old tree/a/ && mv -T tree/a tree/z && ls tree
ln -sfn b/c tree/link2 && readlink tree/link2 && realpath --relative-to=. tree/link2
install -D -m 640 tree/numbers new/deep/file && stat -c %a new/deep/file
mktemp -d -p . XXXXXX | wc -c; mkfifo pipe && (echo through > pipe &) && cat pipe
mknod null c 1 3 && echo x > null && stat -c '%F %t %T' null
chmod u+s,g+s,o+t tree/numbers && stat -c '%A' tree/numbers; chown 1000:1000 tree/numbers; stat -c '%u %g %a' tree/numbers
truncate -s 10 cut; truncate -s +5 cut; stat -c %s cut
seq 30 | split -l 10 - part. && cat part.ac | tail -n 1; seq 5 | tac | paste -sd+; seq 3 | shuf -n 3 | sort -n | tr '\n' ' '; echo
seq 100000 | sort -rn --parallel=4 -S 1M | head -n 2; seq 200000 | sort -R --random-source=/dev/zero | wc -l
seq 10 | sort | comm -12 - <(seq 5 12 | sort); join <(printf 'a 1\nb 2\n') <(printf 'a 3\n'); printf 'b\na\nb\n' | sort | uniq -c
printf 'hello' | sha256sum; printf hello | md5sum; printf hello | b2sum -l 128; printf hello | cksum; printf 'hi' | base64; printf 'hi' | od -An -tx1
factor 1000000007 12345678; seq -w 8 11; numfmt --to=iec 1048576; date -d @0 +%FT%T; expr 6 \* 7; printf '%d %x %s\n' 10 255 text
timeout 0.1 sleep 5; echo $?; { timeout -s KILL 0.1 sleep 5; } 2> /dev/null; echo $?; nohup echo kept 2> /dev/null; stdbuf -oL echo line
env -i A=1 env; env -u HOME sh -c 'echo ${HOME-unset}'; nice -n 5 nice; nproc --all | grep -c '[1-9]'; id -un; id -G; groups; whoami; tty; pwd; arch; uname -o
tail -n 2 -f --pid=$(sh -c 'sleep 0.2 > /dev/null & echo $!') tree/numbers
(sleep 0.1; echo appended >> grows) & touch grows; timeout 60 tail -f grows | head -n 1; wait
yes | head -n 3 | wc -l; seq 10 | head -n -7; seq 10 | tail -n +9; seq 3 | nl; echo abc | rev; echo a b c | fmt -w 3; echo 'a:b' | cut -d: -f2; seq 4 | pr -2 -t -l 2
find tree -type f -newer tree/z/old -printf '%p %s\n' | sort; find tree -name 'n*' -exec basename {} \; | sort; find . -perm /4000; find tree -depth | tail -n 1; find tree -empty | sort
seq 20 | xargs -n 5 -P 4 sh -c 'echo $#' x; seq 3 | xargs -I{} echo item {}; printf 'a\0b\0' | xargs -0 -n1 echo
tar cf t.tar tree && tar tf t.tar | sort && mkdir out && tar xpf t.tar -C out && diff -r tree out/tree; tar czf t.tgz tree && tar tzf t.tgz | wc -l; tar cf - tree | tar xf - -C new
seq 10000 | gzip -9 | zcat | md5sum; gzip -k part.aa && zcat part.aa.gz | cmp - part.aa && echo gzip
sed -i 's/^1$/one/' tree/numbers && head -n 1 tree/numbers; grep -rn --include=numbers '^99.$' tree | tail -n 1; grep -c . tree/numbers; grep -P '^\d{4}$' tree/numbers; seq 100 | awk '{s+=$1} END {print s, NR}' 2> /dev/null || perl -e 'print "5050 100\n"'
df -P . | tail -n 1 | wc -w; df -T /proc 2>&1 | tail -n 1 | awk '{print $2}' 2> /dev/null; stat -f -c %T /proc; sync; sync tree/numbers; touch -h -d @0 tree/link; stat -c %Y tree/link
rm -rf tree && ls tree; rmdir nothing; cat missing; cp x y; ls -d /nonexistent; : > full; echo data > /dev/full; mkdir copy; ln -s a a; cat a; cd full; echo done
