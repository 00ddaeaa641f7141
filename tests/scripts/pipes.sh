seq 1 1000 | grep 7 | sort -rn | head -n 5
printf 'b\na\nc\n' | sort | tr a-z A-Z | tee copy | cat -n
cat copy
yes | head -n 3
(echo one; echo two; exit 3) | cat; echo "status $?"
false | true; echo "status $?"
seq 1 100000 | wc
echo "$(echo nested $(echo substitution))"
dd if=/dev/zero bs=4096 count=100 2>/dev/null | wc -c
mkfifo queue; (sleep 0.1; echo through the queue) > queue & cat queue; wait
