sleep 0.2 & first=$!
(exit 7) & second=$!
wait $second; echo "second $?"
wait $first; echo "first $?"
sleep 100 & kill $!; wait $! 2>/dev/null; echo "killed $?"
trap 'echo caught' USR1; kill -USR1 $$; echo after
(trap 'echo bye' EXIT; echo in a subshell)
trap '' TERM; kill -TERM $$; echo "still here"; trap - TERM
for i in 1 2 3 4 5 6 7 8; do (sleep 0.0$i; exit $i) & done; wait; echo all done
sh -c 'kill -SEGV $$'; echo "status $?"
sh -c 'ulimit -n 8; ulimit -n'
timeout 0.2 sleep 5; echo "timeout $?"
