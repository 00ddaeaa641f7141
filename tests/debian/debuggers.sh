# strace and gdb look into programs; only addresses, ids and times are left out.
export LC_ALL=C
mkdir folder; touch folder/{a,b}
asleep() { until [ "$(ps -o comm=,stat= -p $1 | tr -s ' ')" = 'sleep S' ]; do sleep 0.01; done; }
plain() { sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/\b[0-9]{2,7}\b/N/g; s/ +=/ =/' "$@"; }
{ strace -ff -o trace -e trace=file,process,signal sh -c 'ls folder | cat; kill -USR1 $$' > shown; echo $?; } 2> /dev/null; cat shown
traced=$(plain $(ls -v trace.*) | sed -E 's/stx_mask=[^,]*/stx_mask=M/; s/(si_utime|si_stime)=[^,}]*/\1=T/g')
# When SIGCHLD comes between the calls, and whether one stands for two, depends on the CPUs.
grep -vE '^(--- SIGCHLD|rt_sigreturn)' <<< "$traced"; grep -E '^(--- SIGCHLD|rt_sigreturn)' <<< "$traced" | sort -u; strace -f ls folder 2>&1 | grep -c '^+++ exited with 0'
strace -e trace=desc -o trace cat folder/a /etc/hostname > /dev/null; plain trace
strace -qq -e trace=none -e status=failed -o trace ls missing; cat trace; strace -qq -e inject=openat:error=EMFILE ls 2>&1 | tail -n 1
strace -c -f -o counts sh -c 'ls folder; exit 3'; echo $?; sed -E '1,2d; s/^ *[^ ]+ +[^ ]+ +[^ ]+ +//' counts | grep -vE ' (rt_sigreturn|wait4|total)$' | sort
sleep 1000 & victim=$!; asleep $victim
strace -o attached -p $victim 2> messages & tracer=$!
until grep -q attached messages; do sleep 0.01; done
kill $victim; wait $tracer; echo "tracer: $?"; plain attached
cat > program.c <<'END'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
struct pair { int number; const char *text; };
static int counter;
static int inner(struct pair pair)
{
    counter += pair.number;
    return counter * 2;
}
static void *thread(void *argument)
{
    return (void *)(long)inner((struct pair){ *(int *)argument, "thread" });
}
int main(int argc, char **argv)
{
    int sum = 0, ten = 10;
    pthread_t other;
    for (int i = 0; i < 3; i++)
        sum += inner((struct pair){ i, argv[argc - 1] });
    pthread_create(&other, NULL, thread, &ten);
    pthread_join(other, NULL);
    if (fork() == 0)
        _exit(4);
    printf("sum %d\n", sum);
    if (argc > 2)
        abort();
    return sum;
}
END
gcc -g -O0 -pthread -o program program.c
debug() { timeout 300 gdb -q -batch -nx -iex 'set debuginfod enabled off' "$@" 2>&1 | sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/(process|Thread) [0-9A-Z]+( \(LWP [0-9]+\))?/\1 ID/g; s/Target Id +Frame/Target Id Frame/' |
    grep -vE '^\[(New Thread|Thread .* exited)'; }
debug -ex 'break inner' -ex run -ex bt -ex next -ex 'print counter' -ex 'print pair' -ex 'info locals' -ex finish -ex 'watch counter' -ex continue -ex continue -ex delete \
    -ex continue --args ./program word
debug -ex 'break inner if pair.number == 10' -ex run -ex 'info threads' -ex 'thread apply all -q bt 2' -ex 'set var pair.number = 30' -ex 'tbreak program.c:30' -ex continue -ex 'print counter' -ex kill --args ./program word
debug -ex 'handle SIGABRT stop print' -ex 'catch fork' -ex run -ex 'bt 1' -ex continue -ex 'info signals SIGABRT' -ex 'frame function main' -ex 'print argv[1]' -ex 'signal 0' --args ./program one two
debug -ex 'set follow-fork-mode child' -ex 'run > /dev/null' --args ./program word
sleep 1000 & victim=$!; asleep $victim
debug -p $victim -ex 'print $_siginfo.si_signo' -ex 'info auxv' -ex detach | grep -E 'Detaching|AT_PAGESZ|^Inferior'; kill -0 $victim && echo alive; kill $victim
